"""Data of every kind into one `Dataset`: columns, roles, schema, content hash; and new rows for a trained model.

Statistics are not computed here: `prepare` fits those on training rows. Codes of findings: `codes`.
"""

from shoal.data.dataset import ArrayFeatures, Dataset, Features, Rows, TableFeatures
from shoal.data.reading import read
from shoal.data.rows import read_rows, said_once
from shoal.data.schema import Column, Schema

__all__ = [
    "ArrayFeatures",
    "Column",
    "Dataset",
    "Features",
    "Rows",
    "Schema",
    "TableFeatures",
    "read",
    "read_rows",
    "said_once",
]
