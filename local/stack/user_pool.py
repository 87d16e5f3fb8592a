"""The emulated Cognito user pool that issues the sandbox's access tokens, as 7Targets has one."""

from dataclasses import dataclass
from typing import Any

USER_IDENTIFIER = "ops@example.com"
_NAME = "7targets-sandbox"


@dataclass(frozen=True)
class Credentials:
    """What the secret holds; made up by the emulator, good for nothing else."""

    client_id: str
    client_secret: str
    user_identifier: str = USER_IDENTIFIER


def find_or_make_pool(cognito: Any) -> tuple[str, Credentials]:  # noqa: ANN401 - a boto3 client
    """The id of the pool, which kept state may hold already, and its client's credentials."""
    for kept in cognito.list_user_pools(MaxResults=60)["UserPools"]:
        if kept["Name"] == _NAME:
            [found] = cognito.list_user_pool_clients(UserPoolId=kept["Id"])["UserPoolClients"]
            client = cognito.describe_user_pool_client(UserPoolId=kept["Id"], ClientId=found["ClientId"])
            return kept["Id"], _credentials(client)
    pool = cognito.create_user_pool(PoolName=_NAME)["UserPool"]["Id"]
    cognito.create_resource_server(
        UserPoolId=pool,
        Identifier="leads",
        Name="leads",
        Scopes=[{"ScopeName": "post", "ScopeDescription": "Create and update leads"}],
    )
    cognito.create_user_pool_domain(UserPoolId=pool, Domain=_NAME)
    return pool, make_client(cognito, pool, "lead-delivery")


def make_client(cognito: Any, pool: str, name: str) -> Credentials:  # noqa: ANN401 - a boto3 client
    """Adds a client for the client credentials grant to a user pool."""
    return _credentials(
        cognito.create_user_pool_client(
            UserPoolId=pool,
            ClientName=name,
            GenerateSecret=True,
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthScopes=["leads/post"],
        )
    )


def _credentials(answer: dict[str, Any]) -> Credentials:
    client = answer["UserPoolClient"]
    return Credentials(client["ClientId"], client["ClientSecret"])
