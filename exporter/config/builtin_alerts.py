"""The alerts that are on by default; dashboards/prometheus/rules.yaml holds their equals."""

from __future__ import annotations

from typing import Any

from exporter.config.alerting import AlertRule


def _rule(name: str, summary: str, **keys: Any) -> AlertRule:
    return AlertRule.model_validate({"name": name, "annotations": {"summary": summary}, **keys})


BUILTIN: tuple[AlertRule, ...] = (
    _rule(
        "HostDown",
        "{{ host }} cannot be polled: {{ failure }}",
        when=["panel_up == 0"],
        severity="critical",
        **{"for": "5m"},
    ),
    _rule(
        "CollectorFailing",
        "{{ host }}: {{ labels.collector }} cannot be polled: {{ failure }}",
        when=['collector_up{collector="*"} == 0', "panel_up == 1"],
        **{"for": "10m"},
    ),
    _rule(
        "MailQueueGrowing",
        "{{ host }}: the mail queue has grown by {{ value }} messages within an hour",
        when=["queue_growth_messages > 500"],
        clear=["queue_growth_messages < 100"],
        **{"for": "15m"},
    ),
    _rule(
        "MailQueueFrozen",
        "{{ host }}: {{ value }} frozen messages",
        when=["queue_frozen_messages > 200"],
        clear=["queue_frozen_messages < 100"],
        **{"for": "10m"},
    ),
    # Exim tries for 4 days by default: what is older should have left or bounced.
    _rule(
        "MailQueueOld",
        "{{ host }}: the oldest message has waited for {{ value }}",
        when=["queue_oldest_message_age_seconds > 5d"],
        **{"for": "30m"},
    ),
    _rule(
        "ServiceDown",
        "{{ host }}: {{ labels.service }} is stopped",
        when=['service_up{service="*"} == 0'],
        severity="critical",
        **{"for": "5m"},
    ),
    _rule(
        "PanelCertificateExpiring",
        "{{ host }}: the panel's certificate "
        "{% if number < 0 %}has expired{% else %}expires in {{ value }}{% endif %}",
        when=["panel_certificate_expires_in_seconds < 14d"],
        **{"for": "1h"},
    ),
    _rule(
        "QueueRowsNotUnderstood",
        "{{ host }}: {{ value }} rows of list_msg are not understood; `diagnose {{ host }}` "
        "shows them",
        when=["queue_unparsed_messages > 0"],
        **{"for": "30m"},
    ),
    _rule(
        "RemediationFailed",
        "{{ host }}: a remediation rule did not succeed: {{ remediation }}",
        when=["remediation_failed == 1"],
    ),
    _rule(
        "RemediationStopped",
        "{{ host }}: a remediation rule has stopped itself; `remediation status` tells why",
        when=["remediation_stopped == 1"],
    ),
)
