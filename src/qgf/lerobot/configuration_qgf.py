"""A policy of LeRobot by the name of qgf: another one, guided. Needs LeRobot, which finds this file by its name.

`lerobot-eval --policy.discover_packages_path=qgf.lerobot --policy.type=qgf --policy.base=PATH --policy.critic=RUN`
"""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from qgf.errors import UserError


@PreTrainedConfig.register_subclass("qgf")
@dataclass
class QgfConfig(PreTrainedConfig):
    """Which policy is guided by which critic, and how: see `qgf.lerobot.guide`."""

    base: str = ""
    critic: str = ""
    strength: float | None = None
    weight: float | None = None
    guide: str = "qgf"
    best_of: int = 1
    schedule: str = "constant"
    solver: str = "euler"
    guide_steps: int | None = None
    cap_step: float | None = None
    cap_dim: float | None = None
    guided_dims: list[int] | None = None
    observations: list[str] | None = None
    calibration: str | None = None
    log: str | None = None
    """A CSV that gets a line for every chunk."""

    def base_config(self) -> PreTrainedConfig:
        """Raises UserError without one."""
        if not self.base or not self.critic:
            raise UserError("--policy.base is the policy's folder and --policy.critic the run of its critic: give both")
        config = PreTrainedConfig.from_pretrained(self.base)
        config.pretrained_path, config.device, config.use_amp = self.base, self.device, self.use_amp
        return config

    @property
    def observation_delta_indices(self):
        return None

    @property
    def action_delta_indices(self):
        return None

    @property
    def reward_delta_indices(self):
        return None

    def get_optimizer_preset(self):
        raise UserError("a guided policy is not trained: train its base")

    def get_scheduler_preset(self):
        raise UserError("a guided policy is not trained: train its base")

    def validate_features(self) -> None:
        """They are the base's."""
