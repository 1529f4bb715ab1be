"""What pickles may import: a list of what models are made of, and one of what runs whatever it is told.

The first list decides: what is not on it is not known to be harmless. The second only says how bad it is. A name is a module and a
name in it; a dotted name, by which one module's imports are reached through another, is on neither list by itself.
"""

from __future__ import annotations

from functools import cache

from ml_governance.evidence.loading import SKLEARN_DATA

_PLAIN = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple",
    "copyreg": "_reconstructor __newobj__",
    "_codecs": "encode",
    "collections": "Counter OrderedDict defaultdict deque",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
}
_ARRAYS = {
    "numpy": "dtype ndarray bool_ float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy.dtypes": "BoolDType Float16DType Float32DType Float64DType Int8DType Int16DType Int32DType Int64DType ObjectDType StrDType",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    "scipy.sparse._csr": "csr_array csr_matrix",
    "scipy.sparse._csc": "csc_array csc_matrix",
    "scipy.sparse._coo": "coo_array coo_matrix",
    "pandas.core.frame": "DataFrame",
    "pandas.core.series": "Series",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas._libs.internals": "_unpickle_block",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.range": "RangeIndex",
}
_MODELS = {
    "sklearn._loss._loss": "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss "
    "CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss",
    "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
    "sklearn._loss.loss": "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss HalfPoissonLoss "
    "HalfSquaredError HuberLoss PinballLoss",
    "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration",
    "sklearn.compose._column_transformer": "_RemainderColsList make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.metrics._dist_metrics": "EuclideanDistance EuclideanDistance64 newObj",
    "sklearn.neighbors._kd_tree": "KDTree KDTree64 newObj",
    "sklearn.neighbors._ball_tree": "BallTree BallTree64 newObj",
    "sklearn.utils._bunch": "Bunch",
    "xgboost.core": "Booster",
    "xgboost.sklearn": "XGBClassifier XGBRanker XGBRegressor XGBRFClassifier XGBRFRegressor",
    "lightgbm.basic": "Booster",
    "lightgbm.sklearn": "LGBMClassifier LGBMRanker LGBMRegressor",
    "torch._utils": "_rebuild_parameter _rebuild_tensor_v2",
    "torch": "BFloat16Storage BoolStorage ByteStorage CharStorage DoubleStorage FloatStorage HalfStorage IntStorage LongStorage "
    "ShortStorage Size bfloat16 bool device float16 float32 float64 int16 int32 int64 int8 uint8",
}

_RUNS = frozenset(
    {
        "_pickle", "_posixsubprocess", "asyncio", "bdb", "cProfile", "cloudpickle", "code", "codeop", "commands",
        "ctypes", "dill", "distutils", "ensurepip", "ftplib", "functools", "http", "imp", "importlib", "inspect", "io",
        "joblib", "linecache", "logging", "mailcap", "marshal", "multiprocessing", "nt", "ntpath", "operator", "os",
        "pathlib", "pdb", "pickle", "pip", "pkgutil", "platform", "posix", "posixpath", "profile", "pty", "pydoc",
        "requests", "runpy", "setuptools", "shelve", "shutil", "signal", "site", "smtplib", "socket", "subprocess",
        "sys", "sysconfig", "tempfile", "threading", "timeit", "trace", "types", "urllib", "venv", "webbrowser",
        "zipimport",
    }
)  # fmt: skip
"""Modules, with all below them, that run, import, open or build what they are told to."""
_RUNS_BY_NAME = frozenset(
    {
        "numpy.load", "numpy.fromfile", "numpy.memmap", "pandas.read_pickle", "torch.load", "torch.hub.load", "torch.jit.load",
        "mlflow.pyfunc.load_model", "xgboost.core.ctypes", "sklearn.utils._testing.check_output",
    }
)  # fmt: skip
_RUNS_BELOW = (
    "numpy.testing.",
    "numpy.f2py.",
    "torch._dynamo.",
    "torch._inductor.",
    "torch.utils.",
    "torch.distributed.",
)


@cache
def known() -> frozenset[str]:
    """Return every import that is on the list: what is written here, and the estimators that scikit-learn names as its own."""
    written = {
        f"{module}.{name}"
        for group in (_PLAIN, _ARRAYS, _MODELS)
        for module, names in group.items()
        for name in names.split()
    }
    return frozenset(written | set(SKLEARN_DATA) | _estimators())


def _estimators() -> set[str]:
    import warnings

    try:
        from sklearn.utils import all_estimators
    except ImportError:  # without scikit-learn nothing of it can be loaded either
        return set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            f"{one.__module__}.{one.__qualname__}"
            for _, one in all_estimators()
            if one.__module__.startswith("sklearn.")
        }


def dangerous(module: str, name: str) -> bool:
    """Tell whether an import that is not on the list is known to run, import or open what it is told to."""
    whole = f"{module}.{name}"
    if whole in known():
        return False
    return (
        module.partition(".")[0] in {*_RUNS, "builtins"}
        or whole in _RUNS_BY_NAME
        or whole.startswith(_RUNS_BELOW)
        or "__builtins__" in whole
    )
