"""Features to a network's inputs, with statistics of the training rows alone.

`fit` prepares a data set for a network. Its steps can also be used alone: `fit_standardize(chunked(x))`
and its like give a `Step` with `apply` and `invert`, from rows in memory, on disk, or made on the fly.
"""

from shoal.prepare.advice import advise
from shoal.prepare.chain import fit_chain
from shoal.prepare.impute import Impute, fit_impute
from shoal.prepare.preparation import Preparation, Prepared, fit
from shoal.prepare.quantile import Quantile, fit_quantile
from shoal.prepare.rotation import Rotation, fit_pca, fit_whiten, fit_zca
from shoal.prepare.scaling import Scaling, fit_center, fit_minmax, fit_robust, fit_standardize
from shoal.prepare.step import Step
from shoal.prepare.streaming import Chunks, chunked
from shoal.prepare.targets import TargetScaling

__all__ = [
    "Chunks",
    "Impute",
    "Preparation",
    "Prepared",
    "Quantile",
    "Rotation",
    "Scaling",
    "Step",
    "TargetScaling",
    "advise",
    "chunked",
    "fit",
    "fit_center",
    "fit_chain",
    "fit_impute",
    "fit_minmax",
    "fit_pca",
    "fit_quantile",
    "fit_robust",
    "fit_standardize",
    "fit_whiten",
    "fit_zca",
]
