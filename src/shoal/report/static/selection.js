// One network is selected on the page, or none; every chart listens.
(() => {
  const listeners = new Set();
  let current = null, pinned = false;

  Shoal.selection = {
    get: () => current,
    /** Calls back with the id of the selected network, or null, at each change. Returns how to stop. */
    on: (listener) => { listeners.add(listener); return () => listeners.delete(listener); },
    /** Selects a network for as long as it is pointed at; a pinned one stays. */
    point: (id) => { if (!pinned) set(id); },
    /** Selects a network until another is pinned or it is let go. */
    pin: (id) => { pinned = id !== null && !(pinned && id === current); set(pinned ? id : null); },
    /** Selects by keyboard: stays until moved or cleared. */
    move: (id) => { pinned = id !== null; set(id); },
  };

  function set(id) {
    if (id === current) return;
    current = id;
    for (const listener of listeners) listener(id);
  }

  /** What is said of a network: its score, its settings, its part in the ensemble. */
  Shoal.describe = (member, page) => {
    const said = [`Network ${member.id}`];
    if (member.status === "diverged") said.push("diverged");
    if (Shoal.finite(member.best)) said.push(`${Shoal.score(member.best, page.metric)} on validation rows at epoch ${member.epoch}`);
    const settings = Object.entries(member.values).map(([name, value]) => `${Shoal.spoken(Shoal.shorten(name, 24))} ${Shoal.number(value)}`);
    if (member.votes) said.push(member.votes === 1 ? "in the ensemble" : `in the ensemble with ${member.votes} votes`);
    const how = settings.join(", ");
    return said.join(", ") + (how ? `. ${how[0].toUpperCase()}${how.slice(1)}.` : ".");
  };
})();
