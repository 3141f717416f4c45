"""Codes of the findings about data. A code never changes its meaning; `--ignore CODE` silences one.

| code | meaning | done about it |
| --- | --- | --- |
| SHL201 | identifier: most rows have a value of their own | set aside |
| SHL202 | free text | set aside |
| SHL203 | constant column | set aside |
| SHL204 | empty column | set aside |
| SHL205 | duplicate of another column | set aside |
| SHL206 | column is the target under another name or coding | set aside |
| SHL207 | column determines the target exactly, without being a copy of it | kept, named |
| SHL208 | mostly missing | kept: its presence is information |
| SHL209 | number column with a few cells that are no numbers | those cells count as missing |
| SHL210 | digits with leading zeros | kept as categories, zeros and all |
| SHL211 | date whose day, month and year could be in another order | month first with slashes, day first otherwise |
| SHL212 | text that is not UTF-8 | read in the encoding that is named |
| SHL213 | decimal commas | read as decimal points |
| SHL214 | rows that occur more than once | kept, counted |
| SHL215 | unequal classes | kept, named |
| SHL216 | header that looks like data, or a column without a name | read as a header; named by its position |
| SHL217 | column of numbers mixed with words | read as categories |
| SHL218 | dates with years of two figures | 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068 |
| SHL219 | dates in several formats | each cell read by its own |
| SHL220 | dates of which only some have an offset from UTC, or with names of time zones | read as UTC; names ignored |
| SHL221 | images of several sizes | resized to one |
| SHL222 | images of several modes, or with transparency | converted to one mode, transparency laid over white |
| SHL223 | files that are no images | ignored |
| SHL224 | a class that a part of the split does not hold | kept, named |
| SHL225 | images larger than the working size | reduced |
| SHL226 | colour images whose channels are all alike | kept, named |
| SHL227 | clipped signals: values that stay at the end of their range | kept, named |
| SHL228 | rows of one value throughout | kept, named |
| SHL229 | channel of an array with values far from all others | kept, named |
| SHL230 | images of several depths, of a new one, or of other bits than are read | mapped onto one range, or named |
| SHL231 | the kind or the layout of an array was guessed | named, `kind` overrides it |
| SHL232 | arrays of the file that were not used | ignored |
| SHL233 | a source that gives other values when it is asked again | read once, as it came first |
| SHL234 | a part of image files without class folders | left out |
| SHL235 | a folder that holds nothing but one folder | entered |
| SHL236 | the index of a pandas frame | left out |
| SHL237 | files of several frames or pages | the first is used |
| SHL238 | hidden files, images outside the class folders, folders beside the parts of a split | ignored |
| SHL239 | images in folders inside class folders | their class is the outer folder |
| SHL240 | class folders whose names differ only in how they are written | kept as classes of their own |
| SHL241 | new rows: columns that the model does not know | ignored |
| SHL242 | new rows: categories that training did not hold | counted as "other" |
| SHL243 | new rows: missing cells where training had none | filled with the training median |
| SHL244 | new rows: true answers that cannot be scored | not scored |
| SHL245 | new rows: the part of the file or folder that was taken | named |
| SHL246 | column names of several levels, in a pandas frame | joined by `_` |
| SHL251 | rows on both sides of the split | kept, counted |
| SHL252 | rows on one side of the split that are nearly those of the other | kept, counted |
| SHL253 | column from which alone the target can be told (almost) always | kept, named |
| SHL254 | identifier that predicts the target | set aside all the same |
| SHL255 | labels that a model which never saw them contradicts with confidence | kept, listed |
| SHL256 | drift: test rows can be told from training rows | named |
| SHL257 | numbers of very unequal scale | scaled, as always |
| SHL258 | rows in order of time, and no time given | split at random |
| SHL259 | values that pile up at the end of their range | kept, named |
| SHL260 | column that names the parts of a split | kept, named |
| SHL261 | rows that cannot be split | a run is refused |
| SHL262 | validation rows with one target value | scored by their squared error |
| SHL263 | number column with cells far from all others | borne by the preparation `auto`, named |
| SHL264 | target with values far from all others | kept, named |
| SHL271 | numbers whose sign may part decimals or thousands | read in the likelier way, which `decimal` overrides |
| SHL272 | columns whose cells contradict the decimal sign that was given | read as their cells say |
| SHL273 | numbers that may only number the rows | kept, named |
| SHL274 | lists or decimal commas in a comma-delimited file | read as text; `decimal` makes them numbers |
| SHL275 | a target of numbers that may be quantities or classes | guessed, which `task` overrides |
| SHL276 | digits in groups of two, as in 12,34,567 | read as numbers |
| SHL277 | numbers of two styles in one column, as in `1,187.82` and `1.238,18` | read as text |
| SHL281 | words that often mean a missing cell, among values of their kind | read as values |
| SHL282 | words that mean a missing cell, and are as frequent as values | those cells count as missing |
| SHL283 | words that were named as missing, and stand in no cell | named |
| SHL284 | several spellings of one value | joined |
| SHL285 | values that differ in letter case alone | kept apart |
| SHL286 | rows without an answer | left out |
"""

IDENTIFIER = "SHL201"
FREE_TEXT = "SHL202"
CONSTANT = "SHL203"
EMPTY = "SHL204"
DUPLICATE_COLUMN = "SHL205"
TARGET_COPY = "SHL206"
DETERMINES_TARGET = "SHL207"
MOSTLY_MISSING = "SHL208"
ODD_CELLS = "SHL209"
LEADING_ZEROS = "SHL210"
AMBIGUOUS_DATE = "SHL211"
ENCODING = "SHL212"
DECIMAL_COMMA = "SHL213"
REPEATED_ROWS = "SHL214"
UNEQUAL_CLASSES = "SHL215"
HEADER = "SHL216"
MIXED = "SHL217"
TWO_DIGIT_YEARS = "SHL218"
MIXED_DATES = "SHL219"
MIXED_ZONES = "SHL220"
IMAGE_SIZES = "SHL221"
IMAGE_MODES = "SHL222"
OTHER_FILES = "SHL223"
CLASS_NOT_IN_PART = "SHL224"
IMAGE_REDUCED = "SHL225"
GREY_AS_COLOUR = "SHL226"
CLIPPED = "SHL227"
FLAT_ROWS = "SHL228"
WILD_VALUES = "SHL229"
IMAGE_DEPTHS = "SHL230"
LAYOUT = "SHL231"
UNUSED_ARRAYS = "SHL232"
CHANGING_SOURCE = "SHL233"
WITHOUT_ANSWERS = "SHL234"
WRAPPER = "SHL235"
FRAME_INDEX = "SHL236"
IMAGE_FRAMES = "SHL237"
PASSED_OVER = "SHL238"
NESTED_CLASSES = "SHL239"
ALIKE_CLASSES = "SHL240"
EXTRA_COLUMNS = "SHL241"
UNSEEN_CATEGORIES = "SHL242"
NEW_MISSING = "SHL243"
TRUTH_UNUSABLE = "SHL244"
PART_TAKEN = "SHL245"
JOINED_NAMES = "SHL246"
ACROSS_SPLIT = "SHL251"
NEARLY_ACROSS_SPLIT = "SHL252"
TELLS_TARGET = "SHL253"
IDENTIFIER_PREDICTS = "SHL254"
LABEL_SUSPECTS = "SHL255"
DRIFT = "SHL256"
UNEQUAL_SCALES = "SHL257"
TIME_ORDER = "SHL258"
CAPPED = "SHL259"
SPLIT_COLUMN = "SHL260"
NO_SPLIT = "SHL261"
ONE_TARGET = "SHL262"
WILD_CELLS = "SHL263"
WILD_TARGETS = "SHL264"
NUMBER_STYLE = "SHL271"
AGAINST_DECIMAL = "SHL272"
NUMBERS_ROWS = "SHL273"
MAYBE_DECIMALS = "SHL274"
TASK_GUESSED = "SHL275"
INDIAN_GROUPS = "SHL276"
TWO_STYLES = "SHL277"
WORDS_ARE_VALUES = "SHL281"
WORDS_ARE_MISSING = "SHL282"
WORDS_UNUSED = "SHL283"
SPELLINGS_JOINED = "SHL284"
SPELLINGS_APART = "SHL285"
UNANSWERED = "SHL286"
