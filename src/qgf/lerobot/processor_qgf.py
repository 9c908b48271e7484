"""The processors of `configuration_qgf`, which LeRobot finds by their name: the base policy's own."""

from lerobot.policies.factory import make_pre_post_processors

from qgf.lerobot.configuration_qgf import QgfConfig


def make_qgf_pre_post_processors(config: QgfConfig, dataset_stats=None):
    """As they were saved with the base."""
    overrides = {"device_processor": {"device": config.device}}
    return make_pre_post_processors(config.base_config(), pretrained_path=config.base, preprocessor_overrides=overrides)
