"""How lead events get into the lead queue: the bus and its rule, SNS topics, and who may publish."""

import json
from collections.abc import Mapping
from typing import Any, cast

from aws_cdk import CfnResource, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from deliver_leads.contract import DETAIL_TYPES, MAPPING_IGNORES, OWN_EVENT_SOURCE, OutcomeDetailType
from infra.config import ConfigError, DeploymentConfig

# A rule's name must be unique on its bus only. Where CloudFormation makes the name, its Ref is
# "<bus>|<name>".
RULE_NAME = "leads"
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
PATTERN_CHARACTERS = 2048
RULE_NAME_CHARACTERS = 64
# On the stage's own bus the rule takes every event but outcome events, because an event that no rule takes is
# gone after a 200. The function rejects what is no lead event or comes from an unlisted source, and says why.
# The pattern doesn't leave out all of the integration's own source, because a lead under it would vanish.
ALL_BUT_OUTCOMES = {
    "$or": [
        {"source": [{"anything-but": [OWN_EVENT_SOURCE]}]},
        {"detail-type": [{"anything-but": list(OutcomeDetailType)}]},
    ]
}


def event_bus(stack: Stack, config: DeploymentConfig) -> events.IEventBus:
    """The stage's own bus, with a policy for its producers, or the one that the setting names."""
    if config.event_bus_name:
        bus_name = config.event_bus_name
        if bus_name.startswith("arn:"):
            return events.EventBus.from_event_bus_arn(stack, "EventBus", bus_name)
        return events.EventBus.from_event_bus_name(stack, "EventBus", bus_name)
    # AWS wants a name for this resource; CloudFormation makes the names of the others.
    bus = events.EventBus(stack, "EventBus", event_bus_name=stack.stack_name)
    producers: list[tuple[str, iam.IPrincipal]] = []
    if config.producer_accounts:
        accounts = [iam.AccountPrincipal(account) for account in config.producer_accounts]
        producers.append(("ProducerAccounts", iam.CompositePrincipal(*accounts)))
    if config.producer_organization:
        producers.append(
            ("ProducerOrganization", iam.OrganizationPrincipal(config.producer_organization)),
        )
    for sid, principal in producers:
        bus.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=[principal],
                actions=["events:PutEvents"],
                resources=[bus.event_bus_arn],
            )
        )
    return bus


def rule_name(stack: Stack, config: DeploymentConfig) -> str:
    """The rule's name; with the stage in it on a bus that other stages may use as well."""
    if not config.event_bus_name:
        return RULE_NAME
    if len(stack.stack_name) > RULE_NAME_CHARACTERS:
        raise ConfigError(
            [
                f"stage has {len(config.stage)} characters, but with eventBusName the rule is named "
                f"{stack.stack_name}, and EventBridge takes {RULE_NAME_CHARACTERS}"
            ]
        )
    return stack.stack_name


def rule_dimensions(stack: Stack, config: DeploymentConfig, bus: events.IEventBus) -> dict[str, str]:
    """The dimensions of the rule's metrics in AWS/Events; a rule of a default bus has its own name only.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
    """
    rule = {"RuleName": rule_name(stack, config)}
    is_default = config.event_bus_name.split("event-bus/")[-1] == "default"
    return rule if is_default else {"EventBusName": bus.event_bus_name, **rule}


def add_rule(
    stack: Stack,
    config: DeploymentConfig,
    *,
    bus: events.IEventBus,
    lead_queue: sqs.Queue,
    dead_letter_queue: sqs.Queue,
) -> events.Rule:
    """One rule, so that no event comes twice; whole events, because their id and time are of use later on."""
    target = targets.SqsQueue(
        lead_queue,
        dead_letter_queue=dead_letter_queue,
        # EventBridge's most, both.
        max_event_age=Duration.hours(24),
        retry_attempts=185,
    )
    rule = events.Rule(
        stack,
        "LeadRule",
        rule_name=rule_name(stack, config),
        event_bus=bus,
        # The construct wants a pattern, and can't express "$or", which is set below.
        event_pattern=events.EventPattern(source=events.Match.prefix("")),
        targets=[target],
    )
    resource = cast(events.CfnRule, rule.node.default_child)
    resource.event_pattern = ALL_BUT_OUTCOMES
    if config.event_bus_name:
        # An ARN as it is: of a bus in another account, the name alone would be another bus.
        resource.event_bus_name = config.event_bus_name
        resource.event_pattern = _shared_bus_pattern(config)
    return rule


def _shared_bus_pattern(config: DeploymentConfig) -> dict[str, Any]:
    """The pattern on a bus that others use: our own kinds of events, and those that a mapping is for."""
    own: dict[str, Any] = {"detail-type": list(DETAIL_TYPES)}
    if config.event_sources:
        own["source"] = list(config.event_sources)
    wanted = (each for each in config.mappings if each["operation"] != MAPPING_IGNORES)
    alternatives = [own, *(_without_null(mapping["pattern"]) for mapping in wanted)]
    # EventBridge wants two alternatives at least.
    pattern = {"$or": alternatives} if len(alternatives) > 1 else own
    size = len(json.dumps(pattern, separators=(",", ":")))
    if size > PATTERN_CHARACTERS:
        raise ConfigError(
            [
                f"the patterns of mappings and eventSources make a rule of {size} characters, but "
                f"EventBridge takes {PATTERN_CHARACTERS}: list fewer values in them, or use a bus of its own"
            ]
        )
    return pattern


def _without_null(pattern: Mapping[str, Any]) -> dict[str, Any]:
    """The pattern without the fields of which null may be the value, because CloudFormation takes no null.

    The rule so takes more events than the function's mapping, which the function leaves out or parks.
    """
    parts = {
        name: _without_null(part) if isinstance(part, Mapping) else part for name, part in pattern.items()
    }
    return {name: part for name, part in parts.items() if part and None not in part}


def subscribe_to_topics(
    stack: Stack, config: DeploymentConfig, *, lead_queue: sqs.Queue, dead_letter_queue: sqs.Queue
) -> None:
    """Each topic's messages go to the lead queue; what SNS can't put there, to the dead-letter queue."""
    if not config.sns_topic_arns:
        return
    for queue in (lead_queue, dead_letter_queue):
        # The right goes into the queue's one policy, because a second policy resource would replace it.
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": list(config.sns_topic_arns)}},
            )
        )
    for topic_arn in config.sns_topic_arns:
        # By its ARN, so that taking one topic off the list leaves the others' subscriptions alone.
        subscription = sns.CfnSubscription(
            stack,
            f"Topic{''.join(filter(str.isalnum, topic_arn))}",
            topic_arn=topic_arn,
            protocol="sqs",
            endpoint=lead_queue.queue_arn,
            redrive_policy={"deadLetterTargetArn": dead_letter_queue.queue_arn},
        )
        # SNS checks the rights when it sends, and events may come at once.
        for queue in (lead_queue, dead_letter_queue):
            policy = queue.node.find_child("Policy").node.default_child
            subscription.add_dependency(cast(CfnResource, policy))


def put_events_conditions(config: DeploymentConfig) -> dict[str, dict[str, list[str]]]:
    """What a producer may publish: anything on the stage's own bus, lead events only on one of others.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
    """
    if not config.event_bus_name:
        return {}
    sources = {"events:source": list(config.event_sources)} if config.event_sources else {}
    return {"StringEquals": {"events:detail-type": list(DETAIL_TYPES), **sources}}
