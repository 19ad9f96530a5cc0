#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Writes exittop.json, the Grafana dashboard, from the panels below; a test checks that.

Four rows: the fleet, one host, one VM of it, and where a VM's exits go over time (heat maps). The
fleet and host rows read the recorded series of ../prometheus/exittop.rules.yml, so that they also
work on a long-term store that keeps nothing else.
"""

import json
import sys
from pathlib import Path

OUTPUT = Path(__file__).with_name("exittop.json")
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HOST = 'instance="$instance"'
_VM = f'{_HOST},vm="$vm"'
_RATE = "[$__rate_interval]"
_NOT_EVERYWHERE = ("polled", "preempted", "blocked")    # Kernels may not tell them.


def _part(name: str) -> str:
    return f"sum(rate(exittop_vm_{name}_seconds_total{{{_VM}}}{_RATE}))"


# Per row: title, kind, unit, width of 24, and the queries with their legends.
_ROWS = {
    "Fleet": [
        ("Hosts that report", "stat", "short", 4,
         [("count(exittop_build_info)", "hosts")]),
        ("VMs", "stat", "short", 4, [("count(exittop_vm_info)", "VMs")]),
        ("VMs with shadow paging", "stat", "short", 4,
         [('count(exittop_vm_info{paging="shadow"}) or vector(0)', "VMs")]),
        ("Exits a second", "stat", "short", 4, [("sum(exittop:host_exits:rate5m)", "exits")]),
        ("Counts lost in the last hour", "stat", "short", 4,
         [("sum(increase(exittop_lost_total[1h]))", "lost")]),
        ("Oldest update", "stat", "s", 4,
         [("max(time() - exittop_last_update_timestamp_seconds)", "age")]),
        ("Exits a second, the ten busiest hosts", "timeseries", "short", 12,
         [("topk(10, exittop:host_exits:rate5m)", "{{instance}}")]),
        ("Share of busy time in exits, the ten worst VMs", "timeseries", "percentunit", 12,
         [("topk(10, exittop:vm_exit_time:ratio5m)", "{{vm}} on {{instance}}")]),
        ("Exits a second by reason", "timeseries", "short", 12,
         [("topk(10, sum by (reason) (exittop:reason_exits:rate5m))", "{{reason}}")]),
        ("Hosts by kernel, CPU and paging", "table", "short", 12,
         [("count by (kernel, cpu, isa, paging) (exittop_host_info)", "")]),
    ],
    "Host $instance": [
        ("Exits a second by VM", "timeseries", "short", 12,
         [(f"topk(20, exittop:vm_exits:rate5m{{{_HOST}}})", "{{vm}}")]),
        ("Share of busy time in exits", "timeseries", "percentunit", 12,
         [(f"topk(20, exittop:vm_exit_time:ratio5m{{{_HOST}}})", "{{vm}}")]),
        ("Exits a second by reason", "timeseries", "short", 12,
         [(f"exittop:reason_exits:rate5m{{{_HOST}}}", "{{reason}}")]),
        ("Lost counts a second by cause", "timeseries", "short", 6,
         [(f"sum by (cause) (rate(exittop_lost_total{{{_HOST}}}{_RATE}))", "{{cause}}")]),
        ("exittop's own cost", "timeseries", "percentunit", 6,
         [(f"rate(exittop_cpu_seconds_total{{{_HOST}}}{_RATE})", "its process, of a CPU"),
          (f"rate(exittop_bpf_run_seconds_total{{{_HOST}}}{_RATE})",
           "its BPF programs (where measured)"),
          (f"exittop_slots_used{{{_HOST}}} / exittop_slots_limit{{{_HOST}}}",
           "vCPU slots in use")]),
    ],
    "VM $vm on $instance": [
        ("Exits a second by reason", "timeseries", "short", 12,
         [(f"sum by (reason) (rate(exittop_vm_exits_total{{{_VM}}}{_RATE}))", "{{reason}}")]),
        ("Where its vCPUs' time goes", "timeseries", "s", 12,
         [(_part("guest"), "guest"),
          (_part("exit") + f" - {_part('vmm')} - {_part('halted')}"
           + "".join(f" - ({_part(part)} or vector(0))" for part in _NOT_EVERYWHERE), "kernel"),
          (_part("vmm"), "VMM"), (_part("polled"), "polled"), (_part("preempted"), "preempted"),
          (_part("halted"), "halted"), (_part("blocked"), "blocked")]),
        ("Time of an exit, mean by reason", "timeseries", "s", 12,
         [(f"sum by (reason) (rate(exittop_vm_exit_seconds_total{{{_VM}}}{_RATE}))"
           f" / sum by (reason) (rate(exittop_vm_exits_total{{{_VM}}}{_RATE}))", "{{reason}}")]),
        ("Time of an exit, 99th percentile (with --histograms)", "timeseries", "s", 12,
         [("histogram_quantile(0.99, sum by (reason, le) "
           f"(rate(exittop_vm_exit_duration_seconds_bucket{{{_VM}}}{_RATE})))", "{{reason}}")]),
        ("Who it is", "table", "short", 24, [(f"exittop_vm_info{{{_VM}}}", "")]),
    ],
    "Heat maps of $vm": [
        ("Reasons: exits a second", "heatmap", "short", 12,
         [(f"sum by (reason) (rate(exittop_vm_exits_total{{{_VM}}}{_RATE}))", "{{reason}}")]),
        ("Times of its exits (with --histograms)", "heatmap", "s", 12,
         [("sum by (le) "
           f"(rate(exittop_vm_exit_duration_seconds_bucket{{{_VM}}}{_RATE}))", "{{le}}")]),
    ],
}
_HEIGHTS = {"stat": 4, "timeseries": 8, "table": 6, "heatmap": 10}


def _variable(name: str, label: str, query: str) -> dict:
    return {"name": name, "label": label, "type": "query", "datasource": _DATASOURCE,
            "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1}


def _options(kind: str, unit: str) -> dict:
    """Settings by kind. A heat map's rows are the series, which Grafana must not add up."""
    if kind == "heatmap":
        return {"calculate": False, "cellGap": 1, "yAxis": {"unit": unit},
                "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential",
                          "exponent": 0.5, "steps": 64}}
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none"}
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "right"},
                "tooltip": {"mode": "multi", "sort": "desc"}}
    return {}


def _targets(kind: str, queries: list) -> list[dict]:
    targets = []
    for number, (expression, legend) in enumerate(queries):
        target = {"refId": chr(ord("A") + number), "datasource": _DATASOURCE, "expr": expression,
                  "legendFormat": legend, "range": kind not in ("stat", "table"),
                  "instant": kind in ("stat", "table")}
        if kind in ("table", "heatmap"):
            by_bucket = kind == "heatmap" and "(le)" in expression
            target["format"] = ("table" if kind == "table" else
                                "heatmap" if by_bucket else "time_series")
        targets.append(target)
    return targets


def dashboard() -> dict:
    panels: list[dict] = []
    top = 0
    for row, entries in _ROWS.items():
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False,
                       "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}, "panels": []})
        top += 1
        left = height = 0
        for title, kind, unit, width, queries in entries:
            if left + width > 24:
                left, top, height = 0, top + height, 0
            panels.append({"id": len(panels) + 1, "type": kind, "title": title,
                           "datasource": _DATASOURCE,
                           "gridPos": {"x": left, "y": top, "w": width, "h": _HEIGHTS[kind]},
                           "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                           "options": _options(kind, unit), "targets": _targets(kind, queries)})
            left += width
            height = max(height, _HEIGHTS[kind])
        top += height
    return {
        "uid": "exittop", "title": "exittop: why VMs exit", "tags": ["kvm", "exittop"],
        "schemaVersion": 38, "editable": True, "refresh": "1m", "timezone": "",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource",
             "query": "prometheus"},
            _variable("instance", "Host", "label_values(exittop_build_info, instance)"),
            _variable("vm", "VM", f"label_values(exittop_vm_info{{{_HOST}}}, vm)"),
        ]},
        "panels": panels,
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(0 if OUTPUT.write_text(text()) else 1)
