"""The policy of `configuration_qgf`, which LeRobot finds by its name."""

from lerobot.policies.factory import get_policy_class
from lerobot.policies.pretrained import PreTrainedPolicy

from qgf.lerobot.configuration_qgf import QgfConfig
from qgf.lerobot.guiding import guide


class QgfPolicy(PreTrainedPolicy):
    """Made, it is the base policy itself, guided."""

    config_class = QgfConfig
    name = "qgf"

    def __new__(cls, config: QgfConfig, **more):
        base = config.base_config()
        policy = get_policy_class(base.type).from_pretrained(config.base, config=base)
        policy = guide(
            policy, config.critic, config.strength, config.weight, config.guide, config.best_of, config.schedule,
            observations=config.observations, calibration=config.calibration, solver=config.solver,
            guide_steps=config.guide_steps, cap_step=config.cap_step, cap_dim=config.cap_dim,
            guided_dims=config.guided_dims,
        )  # fmt: skip
        policy.guidance_log.path = config.log
        return policy

    @classmethod
    def from_pretrained(cls, pretrained_name_or_path, *, config=None, **more):
        """A folder whose config.json is of this type: what it names is loaded."""
        return cls(config or QgfConfig.from_pretrained(pretrained_name_or_path))
