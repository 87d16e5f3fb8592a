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


def build_stacks(
    app: cdk.App, bundling: LocalBundling, sandbox_bundling: LocalBundling | None = None
) -> tuple[DeliveryStack, MonitoringStack]:
    """Builds the stacks of the stage that the app's context names, the sandbox's too if it delivers to that.

    Raises `ConfigError`.
    """
    config = DeploymentConfig.from_context(app.node.get_all_context())
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    sandbox = None
    if config.leads_api == "sandbox":
        code = function_code(sandbox_bundling or LocalBundling(SANDBOX))
        sandbox = SandboxStack(app, "LeadSandbox", config=config, code=code)
    delivery = DeliveryStack(
        app, "LeadDelivery", config=config, code=function_code(bundling), sandbox=sandbox
    )
    monitoring = MonitoringStack(app, "LeadMonitoring", config=config, delivery=delivery)
    return delivery, monitoring


def main() -> None:
    """Synthesises the app. Ends with status 1 and a sentence for a person when it can't."""
    app, bundlings = cdk.App(), (LocalBundling(), LocalBundling(SANDBOX))
    try:
        build_stacks(app, *bundlings)
        app.synth()
    except ConfigError as error:
        sys.exit(str(error))
    except Exception:
        for bundling in bundlings:
            if bundling.error:
                sys.exit(f"The function can't be bundled: {bundling.error}")
        raise


if __name__ == "__main__":
    main()
