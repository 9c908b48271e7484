from qgf.evaluation import *  # noqa
