"""What a run leaves behind: its folder, its list of events in SQL, its model."""
