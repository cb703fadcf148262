"""What is marked in every graph."""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from dashboards.source.names import LAST_ACTION, LAST_OUTCOME
from dashboards.source.promql import MIN_STEP, by, of_hosts
from dashboards.source.variables import DATASOURCE
from exporter.metrics.families import UP


class _PrometheusAnnotation(model.AnnotationQuery):
    """The SDK's model has no place for what Prometheus' annotations add to it."""

    def __init__(
        self, name: str, color: str, expression: str, title: str, text: str, *, enabled: bool
    ) -> None:
        super().__init__(
            name=name,
            datasource=DATASOURCE,
            enable=enabled,
            icon_color=color,
            expr=expression,
        )
        self.title = title
        self.text = text
        self.value_is_time = False

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "step": MIN_STEP,
            "titleFormat": self.title,
            "textFormat": self.text,
            "tagKeys": "",
            "useValueForTime": self.value_is_time,
        }


class Annotation(Builder[model.AnnotationQuery]):
    """A ready annotation as what the SDK's dashboard takes."""

    def __init__(self, annotation: model.AnnotationQuery) -> None:
        self._annotation = annotation

    def build(self) -> model.AnnotationQuery:
        """The annotation."""
        return self._annotation


def remediations(*, enabled: bool) -> Annotation:
    """One mark for each action of a rule, at the moment at which it ended."""
    ended = by("host, rule", f"{of_hosts(LAST_ACTION)} * 1000")  # Grafana counts milliseconds
    outcome = by("host, rule, outcome", of_hosts(LAST_OUTCOME))
    annotation = _PrometheusAnnotation(
        "Remediation",
        "purple",
        f"{ended} * on (host, rule) group_right () {outcome}",
        "{{rule}} on {{host}}",
        "Remediation ended: {{outcome}}",
        enabled=enabled,
    )
    annotation.value_is_time = True
    return Annotation(annotation)


def not_up() -> Annotation:
    """A band while the host's poll fails."""
    annotation = _PrometheusAnnotation(
        "Not up",
        "red",
        f"{by('host', of_hosts(UP), 'min')} == bool 0",
        "{{host}} is not up",
        "A collector's poll failed.",
        enabled=True,
    )
    return Annotation(annotation)
