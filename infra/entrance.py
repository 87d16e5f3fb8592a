"""How lead events get into the lead queue: the bus and its rule, SNS topics, and who may publish."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from aws_cdk import CfnResource, Stack, Token
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deliver_leads.contract import DETAIL_TYPES, MAPPING_IGNORES, OWN_EVENT_SOURCE, OutcomeDetailType

from .config import ConfigError, DeploymentConfig

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


class Entrance:
    """The bus with its rule, and the topics, which put lead events into the lead queue.

    `bus_name` is what a producer gives to PutEvents: a name, or the ARN of another account's bus.
    """

    def __init__(
        self,
        scope: Construct,
        config: DeploymentConfig,
        *,
        bus: events.IEventBus | None,
        topics: Sequence[sns.ITopic],
        lead_queue: sqs.IQueue,
        dead_letter_queue: sqs.IQueue,
    ) -> None:
        self._scope = scope
        self._stack = Stack.of(scope)
        self._config = config
        self._queues = (lead_queue, dead_letter_queue)
        self.has_own_bus = not (bus or config.event_bus_name)
        if bus and (config.event_bus_name or config.producer_accounts or config.producer_organization):
            raise ConfigError(
                [
                    "eventBusName, producerAccounts and producerOrganization are for a bus that is named or "
                    "made here, but a bus is given"
                ]
            )
        self.bus = bus or self._bus()
        self.bus_name = config.event_bus_name or _name_or_arn(self.bus)
        self._rule_name = self._name_of_the_rule()
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
        self.rule_dimensions = {"RuleName": self._rule_name}
        if not self._is_default_bus():
            self.rule_dimensions = {"EventBusName": self.bus.event_bus_name, **self.rule_dimensions}
        self._let_events_in: list[CfnResource] = []
        self.rule = self._rule()
        self._subscribe_to_topics(topics)

    def _bus(self) -> events.IEventBus:
        """The stage's own bus, with a policy for its producers, or the one that the setting names."""
        config = self._config
        if config.event_bus_name.startswith("arn:"):
            return events.EventBus.from_event_bus_arn(self._scope, "EventBus", config.event_bus_name)
        if config.event_bus_name:
            return events.EventBus.from_event_bus_name(self._scope, "EventBus", config.event_bus_name)
        # AWS wants a name for this resource; CloudFormation makes the names of the others.
        bus = events.EventBus(self._scope, "EventBus", event_bus_name=self._stack.stack_name)
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

    def _is_default_bus(self) -> bool:
        return self.bus_name.split("event-bus/")[-1] == "default"

    def _name_of_the_rule(self) -> str:
        """With the stack's name in it on a bus that other stacks may use as well."""
        if self.has_own_bus:
            return RULE_NAME
        name = self._stack.stack_name
        if len(name) > RULE_NAME_CHARACTERS:
            raise ConfigError(
                [
                    f"on an existing bus the rule is named {name}, after its stack: {len(name)} characters, "
                    f"but EventBridge takes {RULE_NAME_CHARACTERS}"
                ]
            )
        return name

    def _rule_arn(self) -> str:
        """The ARN as text, because the queues' policies name it before the rule is there.

        A rule on another account's bus is made there. The stage's own bus is named, not referred to, because
        a queue of another stack, on which this one depends, would depend on this one.
        """
        name = self._stack.stack_name if self.has_own_bus else self.bus.event_bus_name
        bus = "" if self._is_default_bus() else f"{name}/"
        path = f"{bus}{self._rule_name}"
        if self.bus_name.startswith("arn:"):
            return f"{self.bus_name.split(':event-bus/')[0]}:rule/{path}"
        return self._stack.format_arn(service="events", resource="rule", resource_name=path)

    def _rule(self) -> events.Rule:
        """One rule, so that no event comes twice; whole events, because their id and time are of use later.

        The queues let it send before it is there: EventBridge doesn't repeat what a missing right has
        stopped, and on an existing bus events may come at once.
        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
        """
        rule = events.Rule(
            self._scope,
            "LeadRule",
            rule_name=self._rule_name,
            event_bus=self.bus,
            # The construct wants a pattern, and can't express "$or", which is set below.
            event_pattern=events.EventPattern(source=events.Match.prefix("")),
        )
        resource = cast(events.CfnRule, rule.node.default_child)
        lead_queue, dead_letter_queue = self._queues
        resource.targets = [
            events.CfnRule.TargetProperty(
                id="Target0",
                arn=lead_queue.queue_arn,
                dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letter_queue.queue_arn),
                # EventBridge's most, both.
                retry_policy=events.CfnRule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=24 * 3600, maximum_retry_attempts=185
                ),
            )
        ]
        self._let_send("events.amazonaws.com", [self._rule_arn()], before=resource)
        if self.has_own_bus:
            resource.event_pattern = ALL_BUT_OUTCOMES
        else:
            # An ARN as it is: of a bus in another account, the name alone would be another bus.
            resource.event_bus_name = self.bus_name
            resource.event_pattern = self._shared_bus_pattern()
        return rule

    def _shared_bus_pattern(self) -> dict[str, Any]:
        """The pattern on a bus that others use: our own kinds of events, and those that a mapping is for."""
        own: dict[str, Any] = {"detail-type": list(DETAIL_TYPES)}
        if self._config.event_sources:
            own["source"] = list(self._config.event_sources)
        wanted = (each for each in self._config.mappings if each["operation"] != MAPPING_IGNORES)
        alternatives = [own, *(_without_null(mapping["pattern"]) for mapping in wanted)]
        # EventBridge wants two alternatives at least.
        pattern = {"$or": alternatives} if len(alternatives) > 1 else own
        size = len(json.dumps(pattern, separators=(",", ":")))
        if size > PATTERN_CHARACTERS:
            raise ConfigError(
                [
                    f"the patterns of mappings and eventSources make a rule of {size} characters, but "
                    f"EventBridge takes {PATTERN_CHARACTERS}: list fewer values in them, or use a bus of "
                    "its own"
                ]
            )
        return pattern

    def _subscribe_to_topics(self, topics: Sequence[sns.ITopic]) -> None:
        """Each topic's messages go to the lead queue; what SNS can't put there, to the dead-letter queue."""
        # By its ARN, so that taking one topic off the list leaves the others' subscriptions alone.
        by_id = {"".join(filter(str.isalnum, arn)): arn for arn in self._config.sns_topic_arns}
        by_id |= {topic.node.addr: topic.topic_arn for topic in topics}
        lead_queue, dead_letter_queue = self._queues
        for name, topic_arn in by_id.items():
            subscription = sns.CfnSubscription(
                self._scope,
                f"Topic{name}",
                topic_arn=topic_arn,
                protocol="sqs",
                endpoint=lead_queue.queue_arn,
                redrive_policy={"deadLetterTargetArn": dead_letter_queue.queue_arn},
            )
            # SNS checks the rights when it sends, and events may come at once.
            self._let_send("sns.amazonaws.com", list(by_id.values()), before=subscription)

    def open_after(self, last: CfnResource) -> None:
        """Lets events in only when this is there: SQS takes up to a minute until a queue's policy counts.

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
        """
        for resource in self._let_events_in:
            resource.add_resource_dependency(last)

    def _let_send(self, service: str, source_arns: list[str], *, before: CfnResource) -> None:
        """Lets a service send to both queues from these sources, and makes the resource after that.

        The right goes into a queue's one policy, because a second policy resource would replace it. The
        policy of a queue that comes from elsewhere is its owner's.
        """
        for queue in self._queues:
            queue.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(service)],
                    actions=["sqs:SendMessage"],
                    resources=[queue.queue_arn],
                    conditions={"ArnEquals": {"aws:SourceArn": source_arns}},
                )
            )
            if policy := queue.node.try_find_child("Policy"):
                before.add_resource_dependency(cast(CfnResource, policy.node.default_child))
        self._let_events_in.append(before)

    def put_events_conditions(self) -> dict[str, dict[str, Any]]:
        """What a producer may publish: anything on the stage's own bus, lead events only on one of others.

        A call of PutEvents has the types and sources of all its entries, so each of them must be in the list;
        and a call without the key would pass such a test.
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
        """
        if self.has_own_bus:
            return {}
        wanted = {"events:detail-type": list(DETAIL_TYPES)}
        if self._config.event_sources:
            wanted["events:source"] = list(self._config.event_sources)
        return all_of(wanted)


def _without_null(pattern: Mapping[str, Any]) -> dict[str, Any]:
    """The pattern without the fields of which null may be the value, because CloudFormation takes no null.

    The rule so takes more events than the function's mapping, which the function leaves out or parks.
    """
    parts = {
        name: _without_null(part) if isinstance(part, Mapping) else part for name, part in pattern.items()
    }
    return {name: part for name, part in parts.items() if part and None not in part}


def all_of(wanted: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """The conditions that each of a key's several values is in its list, and that there is one."""
    return {"ForAllValues:StringEquals": wanted, "Null": dict.fromkeys(wanted, "false")}


def _name_or_arn(bus: events.IEventBus) -> str:
    """The ARN if it is known, because the name alone would be a bus of this account."""
    return bus.event_bus_name if Token.is_unresolved(bus.event_bus_arn) else bus.event_bus_arn
