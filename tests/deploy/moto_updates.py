"""UpdateEndpoint, which moto lacks: what it keeps and refuses, after AWS's documents."""

from typing import Any

from tests.aws import ACCOUNT, REGION


def update_endpoint(response: Any) -> Any:
    """Do what UpdateEndpoint does, at once; moto's endpoints are in service at once, too."""
    from moto.core.responses import EmptyResult

    held = response.sagemaker_backend
    endpoint = held.endpoints[response._get_param("EndpointName")]
    old = held.endpoint_configs[endpoint.endpoint_config_name].production_variants
    name = response._get_param("EndpointConfigName")
    new = held.endpoint_configs[name].production_variants
    _refuse_another_type(endpoint.endpoint_name, old[0], new[0])
    kept = endpoint.production_variants
    endpoint.production_variants = endpoint._process_production_variants(new)
    endpoint.endpoint_config_name = name
    endpoint.last_deployment_config = response._get_param("DeploymentConfig")
    given = response._get_param("ExcludeRetainedVariantProperties") or []
    excluded = {item["VariantPropertyType"] for item in given}
    # AWS: "not currently supported".
    assert "DataCaptureConfig" not in excluded
    if response._get_param("RetainAllVariantProperties"):
        for name in {"DesiredInstanceCount", "DesiredWeight"} - excluded:
            _keep(name, kept[0], endpoint.production_variants[0])
    return EmptyResult()


def _keep(name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for each in (name, name.replace("Desired", "Current")):
        new[each] = old[each]


def _refuse_another_type(endpoint: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse another type of machine for what scales (guide: endpoint-scaling-update)."""
    from moto.applicationautoscaling.models import applicationautoscaling_backends
    from moto.sagemaker.exceptions import ValidationError

    targets = applicationautoscaling_backends[ACCOUNT][REGION].targets
    scaled = targets.get("sagemaker:variant:DesiredInstanceCount", {})
    other = old.get("InstanceType") != new.get("InstanceType")
    if other and f"endpoint/{endpoint}/variant/{old['VariantName']}" in scaled:
        raise ValidationError(
            "Cannot update variant(s) [main]: a scalable target is registered for them."
        )
