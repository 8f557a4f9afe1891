"""An update of an endpoint: what stays as it runs, what is refused, how the old one is replaced."""

from contextlib import nullcontext
from typing import Any

import click

from deploy import alarms, endpoint_life, hosting, running, scaling
from deploy.errors import DeployError
from deploy.hosting import Hosting
from deploy.session import Aws

# Options that the command line calls otherwise than its code.
_LABELS = {"source": "model", "queued": "async"}


class Update:
    """An endpoint that runs, and what is to change of it."""

    def __init__(
        self, aws: Aws, there: dict[str, Any], chosen: dict[str, Any], given: set[str]
    ) -> None:
        """Find out what runs, and tell what changes.

        Args:
            aws: who asks.
            there: the endpoint as AWS describes it.
            chosen: every option of the command.
            given: names of those that stand on the command line.

        Raises:
            DeployError: nobody asked for an update, the endpoint is another tool's, or is to become
                one of another kind.
        """
        self.name: str = there["EndpointName"]
        if not chosen["update"]:
            raise DeployError(
                f"The endpoint {self.name} is there already: exchange what it runs by --update, or "
                "give another --name."
            )
        self._aws = aws
        self._there = there
        self._given = given
        self._runs = running.options(aws, there)
        self._image: str | None = self._runs.pop("image_uri")
        self.wanted = self._keep(chosen)
        """Every option of the command, those that were left out as they run."""
        self._check_kind()

    def _keep(self, chosen: dict[str, Any]) -> dict[str, Any]:
        runs = self._runs
        for name in sorted(self._given & runs.keys()):
            if runs[name] != chosen[name]:
                label = _LABELS.get(name, name.replace("_", " "))
                click.echo(f"{label}: {runs[name]} -> {chosen[name]}")
        if self._given.intersection(running.KINDS):
            runs = {name: value for name, value in runs.items() if name not in running.KINDS}
        if chosen["multi_model"]:
            runs = {name: value for name, value in runs.items() if name != "source"}
        if chosen["source"]:
            runs = {name: value for name, value in runs.items() if name != "multi_model"}
        kept = {name: value for name, value in runs.items() if name not in self._given}
        return {**chosen, **kept}

    def tell_image(self, image_uri: str | None) -> None:
        """Tell of another image: unless one is named, it is what was last pushed, not what runs."""
        if self._image and image_uri and image_uri != self._image:
            click.echo(f"image: {self._image} -> {image_uri}")

    def _check_kind(self) -> None:
        old, new = (
            next(iter(hosting.kinds(options)), "real-time") for options in (self._runs, self.wanted)
        )
        if old != new and {old, new} != {"real-time", "multi-model"}:
            raise DeployError(
                f"{self.name} is {old}, and AWS refuses an update that makes it {new}, or cannot "
                "take it back: give another --name, or remove it before by `aws sagemaker "
                f"delete-endpoint --endpoint-name {self.name}`."
            )

    def check(self, choice: Hosting) -> None:
        """Refuse to leave alone what scales and cannot while it is exchanged."""
        if self._stops_scaling(choice) and not self.wanted["wait"]:
            raise DeployError(
                f"{self.name} scales, which has to stop for another --instance-type and to start "
                "again after it: leave out --no-wait."
            )

    def machines(self, choice: Hosting) -> int:
        """Count the machines with which the new configuration begins."""
        return self._running if self._retains() else choice.first_instances

    @property
    def _config(self) -> str:
        """Name of the configuration that it runs, or is about to run."""
        config: str = running.pending(self._there)["EndpointConfigName"]
        return config

    def run(self, choice: Hosting, config: str, limits: alarms.Limits | None) -> None:
        """Let a configuration replace what runs, unless it runs already, and scale and watch it.

        Waits for it unless told not to; then it is neither scaled nor are its alarms changed.

        Raises:
            DeployError: another change goes on, or this one failed or was rolled back.
        """
        if self._config == config:
            click.echo(f"{self.name} runs exactly this already.")
            with alarms.forgetting(self._aws, self.name):
                self._finish(choice, config)
        else:
            self._exchange(choice, config, limits)
        # After a rollback those stay with which it answered.
        if self.wanted["wait"]:
            alarms.make(self._aws, self.name, limits, self.wanted["topic"])

    def _exchange(self, choice: Hosting, config: str, limits: alarms.Limits | None) -> None:
        # Autoscaling goes on while a person reads what they are asked.
        self._there = endpoint_life.describe(self._aws, self.name) or self._there
        self._refuse_change()
        stopped = self._stops_scaling(choice)
        with (
            alarms.guarding(self._aws, self.name, config, limits) as guards,
            scaling.paused(self._aws, self.name) if stopped else nullcontext(),
        ):
            way = hosting.deployment(self.machines(choice), guards)
            endpoint_life.update(self._aws, self.name, config, way, self._retained())
            self._finish(choice, config)

    def _refuse_change(self) -> None:
        status = self._there["EndpointStatus"]
        if status in endpoint_life.CHANGING:
            raise DeployError(
                f"{self.name} is {status}, and AWS takes no update meanwhile: run the same again "
                "once `python -m deploy status` tells that it is InService."
            )

    def _finish(self, choice: Hosting, config: str) -> None:
        """Wait until it answers, unless told not to, and scale it."""
        if self.wanted["wait"]:
            endpoint_life.wait(self._aws, self.name, config)
            scaling.follow(self._aws, self.name, choice, self.wanted["requests_a_minute"])

    @property
    def _running(self) -> int:
        """Machines that it has, as many as autoscaling wants by now."""
        has = self._there.get("ProductionVariants") or running.pending(self._there).get(
            "ProductionVariants"
        )
        return int(has[0].get("DesiredInstanceCount", 0)) if has else 0

    def _retains(self) -> bool:
        """Whether the number of machines stays, whatever the configuration says."""
        # AWS keeps all properties or names those that it does not; capture it cannot name yet.
        same_capture = self.wanted["capture_percent"] == self._runs["capture_percent"]
        # None runs where a queue has let them go: a first one is needed to see the model work.
        return self._running > 0 and "instances" not in self._given and same_capture

    def _retained(self) -> dict[str, Any]:
        if not self._retains():
            return {}
        return {
            "RetainAllVariantProperties": True,
            # A shadow's share of the requests.
            "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
        }

    def _stops_scaling(self, choice: Hosting) -> bool:
        """Whether AWS would refuse the update of what scales; of another model it does not."""
        other = self._runs.get("instance_type") != choice.instance_type
        return other and scaling.describe(self._aws, self.name) is not None
