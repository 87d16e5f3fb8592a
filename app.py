"""The CDK app: reads the configuration, builds the stacks, checks them with cdk-nag. Makes no AWS call."""

import os
import sys
from pathlib import Path

# jsii's warnings on Node's version bury what synth has to say. The first is a list of versions, not a switch;
# both are read when aws_cdk is imported.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
os.environ.setdefault("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "1")

# The stacks take the names that they share with the function from the function itself.
sys.path.insert(0, str(Path(__file__).parent / "lambdas"))

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra.bundling import SANDBOX, LocalBundling, function_code
from infra.config import ConfigError, DeploymentConfig
from infra.delivery_stack import DeliveryStack
from infra.monitoring_stack import MonitoringStack
from infra.sandbox_stack import SandboxStack
from infra.stage_settings import check_place, stage_config


def build_stacks(
    app: cdk.App,
    config: DeploymentConfig,
    bundling: LocalBundling,
    sandbox_bundling: LocalBundling | None = None,
) -> tuple[DeliveryStack, MonitoringStack]:
    """Builds the stacks of a stage, the sandbox's too if the stage delivers to it. Raises `ConfigError`."""
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    sandbox = None
    if config.leads_api == "sandbox":
        code = function_code(sandbox_bundling or LocalBundling(SANDBOX))
        sandbox = SandboxStack(app, "LeadSandbox", config=config, code=code)
    delivery = DeliveryStack(
        app, "LeadDelivery", config=config, code=function_code(bundling), sandbox=sandbox
    )
    monitoring = MonitoringStack(app, "LeadMonitoring", config=config, stack=delivery)
    return delivery, monitoring


def main() -> None:
    """Synthesises the app. Ends with status 1 and a sentence for a person when it can't."""
    app, bundlings = cdk.App(), (LocalBundling(), LocalBundling(SANDBOX))
    try:
        config = stage_config(app.node.get_all_context())
        check_place(config, os.environ)
        build_stacks(app, config, *bundlings)
        app.synth()
    except ConfigError as error:
        sys.exit(
            f"{error}\nA stage's settings are in settings/<stage>.toml; -c <setting>=<value> overrides one."
        )
    except Exception:
        for bundling in bundlings:
            if bundling.error:
                sys.exit(f"The function can't be bundled: {bundling.error}")
        raise


if __name__ == "__main__":
    main()
