"""What the rules of remediation have done, would do, and what holds them back."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.source import look, occurrences
from dashboards.source.assembly import Section
from dashboards.source.names import (
    ACTIONS,
    BLOCKED,
    LAST_ACTION,
    LAST_OUTCOME,
    PAUSED,
    PLANNED,
    REMOVED,
    STOPPED,
    WAITING,
)
from dashboards.source.panels import About, Query, bars, number
from dashboards.source.promql import by, of_exporter, of_hosts, or_zero
from dashboards.source.shared.about_hosts import host_column, with_host
from dashboards.source.tables import Column, LabelColumn, rows

_NO_ACTION = "No rule is known to have acted in this time."


def _last_actions(*, of_one_host: bool) -> table.Panel:
    labels = with_host("rule, outcome", of_one_host=of_one_host)
    outcome = by("host, rule, outcome", of_hosts(LAST_OUTCOME))

    def of_last_action(metric: str) -> str:
        value = by("host, rule", of_hosts(metric))
        return by(labels, f"{value} * on (host, rule) group_right () {outcome}")

    return rows(
        About(
            "Last actions",
            "When and how the last action of each rule ended, and how many messages the rule has"
            " planned to act on the last time. Empty where no rule has ever acted.",
            look.COUNT,
            "–",
        ),
        host_column(
            [
                LabelColumn("rule", "Rule"),
                LabelColumn("outcome", "Outcome", mappings=look.OUTCOME, width=120),
            ],
            of_one_host=of_one_host,
        ),
        [
            Column("Ended", f"1000 * {of_last_action(LAST_ACTION)}", units.DateTimeFromNow),
            Column("Planned", of_last_action(PLANNED), look.COUNT, width=90),
        ],
        sort="Ended",
        width=12,
        height=8,
    )


def remediation(*, of_one_host: bool) -> Section:
    """What rules have done, would do, and what holds them back."""
    actions = occurrences.of_remediation(ACTIONS, host=True)
    removed = occurrences.of_remediation(REMOVED, host=True)
    blocked = occurrences.of_remediation(BLOCKED, host=False)
    rule = host_column([LabelColumn("rule", "Rule")], of_one_host=of_one_host)
    labels = with_host("rule", of_one_host=of_one_host)
    done = bars(
        About(
            "Actions by outcome",
            "Actions of rules by how they ended. ok: done and verified; verify_failed: done, but"
            " not what was expected; failed: refused; unknown: no answer; dry_run: not done.",
            look.COUNT,
            _NO_ACTION,
        ),
        Query(
            by("outcome", f"{actions.per_step('host, rule, action, outcome')} > 0", "sum"),
            "{{outcome}}",
        ),
        width=8,
    )
    for outcome, color in look.OUTCOME_COLORS.items():
        done = done.override_by_name(
            outcome,
            [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})],
        )
    return Section(
        "Remediation",
        [
            number(
                About(
                    "Remediation",
                    "Whether a person or the pause file has paused all rules.",
                    look.STATE,
                    "unknown",
                ),
                f"max({of_exporter(PAUSED)})",
                mappings=look.PAUSED,
                width=4,
            ),
            number(
                About(
                    "Waiting for approval",
                    "Actions that a rule would do once a person approves them:"
                    " `brainycp-exporter remediation approve RULE HOST`.",
                    look.COUNT,
                    "unknown",
                ),
                or_zero(f"count({by('host, rule', of_hosts(WAITING))})", PAUSED),
                steps=look.ANY_IS_ODD,
                width=5,
            ),
            number(
                About(
                    "Stopped",
                    "Rules that have stopped themselves on a host, or cannot act there, until a"
                    " person resumes them.",
                    look.COUNT,
                    "unknown",
                ),
                or_zero(f"count({by('host, rule', of_hosts(STOPPED))})", PAUSED),
                steps=look.ANY_IS_BAD,
                width=5,
            ),
            number(
                About(
                    "Actions",
                    "Actions of rules that ended in this time, however they ended.",
                    look.COUNT,
                    "unknown",
                ),
                or_zero(f"sum({actions.in_range('host, rule, action, outcome')})", PAUSED),
                width=5,
            ),
            number(
                About(
                    "Messages removed",
                    "Messages that rules have removed in this time, as seen by listing again.",
                    look.COUNT,
                    "unknown",
                ),
                or_zero(f"sum({removed.in_range('host, rule')})", PAUSED),
                width=5,
            ),
            done,
            bars(
                About(
                    "Messages removed over time",
                    "Messages that rules have removed, by rule.",
                    look.COUNT,
                    _NO_ACTION,
                ),
                Query(by("rule", f"{removed.per_step('host, rule')} > 0", "sum"), "{{rule}}"),
                width=8,
            ),
            bars(
                About(
                    "Blocked by guard",
                    "Times that a guard held a rule back that wanted to act, on any host: the"
                    " metric does not tell which. README says what each guard looks at.",
                    look.COUNT,
                    "No guard is known to have held a rule back in this time.",
                ),
                Query(by("guard", f"{blocked.per_step('rule, guard')} > 0", "sum"), "{{guard}}"),
                width=8,
            ),
            _last_actions(of_one_host=of_one_host),
            rows(
                About(
                    "What waits for approval",
                    "The rules that wait for a person, and how many messages they would act on"
                    " (0 for an action on a service).",
                    look.COUNT,
                    "Nothing is known to wait for approval.",
                ),
                rule,
                [Column("Messages", by(labels, of_hosts(WAITING)), look.COUNT)],
                sort="Messages",
                width=6,
                height=8,
            ),
            rows(
                About(
                    "What has stopped",
                    "The rules that have stopped themselves, or cannot act. `brainycp-exporter"
                    " remediation status` says why, `... resume RULE HOST` lets one go on.",
                    look.STATE,
                    "No rule is known to have stopped.",
                ),
                rule,
                [Column("State", by(labels, of_hosts(STOPPED)), look.STATE, mappings=look.STOPPED)],
                sort="Rule",
                descending=False,
                width=6,
                height=8,
            ),
        ],
    )
