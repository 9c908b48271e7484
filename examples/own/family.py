"""A family of environments, known by their names: qgf --use ... evaluate RUN --env hill-200-v0"""

import gymnasium

from qgf.environments import FAMILIES, Family


class Hills(Family):
    """A car that should reach a hilltop, within 200 steps in hill-200-v0."""

    name = "hill"

    def owns(self, name):
        return name.startswith("hill-")

    def make(self, name, size=None):
        options = dict(max_episode_steps=int(name.split("-")[1]), render_mode="rgb_array" if size else None)
        return gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("MountainCarContinuous-v0", **options))

    def success(self, info):
        return info["episode"]["r"] > 0 if "episode" in info else None  # known at an episode's end


FAMILIES(Hills())
