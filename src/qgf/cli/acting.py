"""The options of a command that lets a run's policy act in one way."""

from dataclasses import dataclass
from typing import Literal, Optional

Solver = Optional[Literal["euler", "midpoint"]]
Metric = Literal["none", "sigma"]


@dataclass(frozen=True)
class Acting:
    """One way of acting."""

    guide: str = "qgf"
    """The guide, "none" being the policy as it was trained; `qgf names guide` lists them."""
    strength: Optional[float] = None
    """How hard to push, in standard deviations of the reference policy's actions (default 0.5)."""
    weight: Optional[float] = None
    """The paper's raw weight, instead of a strength."""
    best_of: Optional[int] = None
    """Take the best of this many guided samples, by default the training method's own number."""
    steps: Optional[int] = None
    """Number of denoising steps, by default the training method's own, 10 for most."""
    solver: Solver = None
    """How a step is taken: euler, or midpoint, twice its work for an error that falls with their square."""
    guide_steps: Optional[int] = None
    """How often the guide is asked on the way, by default at every step; in between its last direction holds."""
    schedule: str = "constant"
    """How the weight changes over the denoising time; `qgf names schedule` lists the ways."""
    members: str = "own"
    """How the critic's ensemble is asked for guidance: mean, min, lcb (mean - std / 2), the number of one, or own."""
    choose: str = "own"
    """The same for the best of several samples; others are the members that do not guide."""
    robust: bool = False
    """The unit of strength takes the largest tenth of the gradients for its least."""
    cap_step: Optional[float] = None
    """Guidance never adds more than so many times the flow's own velocity in a step."""
    cap_dim: Optional[float] = None
    """Guidance pushes no number of an action by more than so many standard deviations."""
    metric: Metric = "none"
    """sigma pushes each number of a chunk in proportion to its variance; none, all alike."""
    guided_dims: tuple[int, ...] = ()
    """The numbers of an action that are guided, counted from 0, by default all; the others stay as they were cloned."""

    def of(self, policy, fallback: Optional[str] = None):
        """The policy acting so, and falling back so. Raises UserError for what makes no sense, or it cannot do."""
        from qgf.errors import UserError
        from qgf.playing.arm import Arm

        if self.strength is not None and self.weight is not None:
            raise UserError("give a strength or a weight, not both")
        best_of = policy.samples if self.best_of is None else self.best_of
        arm = Arm(self.guide, self.strength, self.weight, best_of, self.steps, self.schedule, solver=self.solver)
        fallback, metric = (None if told == "none" else told for told in (fallback, self.metric))
        held = (fallback, self.cap_step, self.cap_dim, self.guide_steps, metric, self.guided_dims)
        return arm.asking(self.members, self.choose, self.robust, *held).of(policy)
