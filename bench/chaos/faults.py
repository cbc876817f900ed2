"""The list of all faults."""

from __future__ import annotations

from bench.chaos import deaths, failovers, garbage, outages, retries, schedules
from bench.chaos.fault import Fault
from bench.chaos.site import Setting

_PROXIED = Setting(config=outages.QUICK, is_proxied=True)
_QUICK = Setting(config=outages.QUICK)
_REPEATING = Setting(config=retries.NO_QUARANTINE)
_SCHEDULES = schedules.setting(outages.QUICK)
_BRIEF = Setting(config="[worker]\nexit_grace = '500ms'\n")
_HEALING = Setting(config="[worker]\nheartbeat = '1s'\n")

FAULTS = (
    Fault("kill-child", deaths.kill_child, 100, may_fail=True, has_reload=True),
    Fault("kill-worker", deaths.kill_worker, 100, may_fail=True, has_reload=True),
    Fault("kill-zygote", deaths.kill_zygote, 100, may_fail=True, has_reload=True),
    Fault("kill-master", deaths.kill_master, 30, may_fail=True, has_reload=True),
    Fault(
        "kill-worker-and-master",
        deaths.kill_worker_and_master,
        20,
        may_fail=True,
        has_reload=True,
    ),
    Fault(
        "kill-everything", deaths.kill_everything, 20, may_fail=True, has_reload=True
    ),
    Fault(
        "retries-kill-anything",
        retries.kill_anything,
        40,
        _REPEATING,
        may_fail=True,
        site=retries.RetrySite,
    ),
    Fault(
        "requeue-kill-anything",
        retries.kill_anything,
        40,
        _REPEATING,
        site=retries.RequeueSite,
    ),
    Fault("stop-worker", deaths.stop_worker, 5),
    Fault("stop-master", deaths.stop_master, 5),
    Fault(
        "stop-beyond-threshold",
        deaths.stop_beyond_the_threshold,
        3,
        Setting(config=deaths.SHORT_HEARTBEAT),
        may_fail=True,
    ),
    Fault("signal-storm", deaths.storm_of_signals, 20, may_fail=True),
    Fault("replace-master", deaths.replace_master, 10),
    Fault("replace-and-kill-master", deaths.replace_and_kill_master, 15, may_fail=True),
    Fault("cut-connections", outages.cut_connections, 100),
    Fault("flush-scripts", outages.flush_scripts, 100),
    Fault("swallow-replies", outages.swallow_replies, 50, _PROXIED),
    Fault("black-hole", outages.black_hole, 5, _PROXIED),
    Fault("pause-clients", outages.pause_clients, 5, _QUICK),
    Fault(
        "restart-server",
        outages.restart_server,
        20,
        Setting(config=outages.QUICK, is_durable=True),
    ),
    Fault("stop-server", outages.stop_server, 4, _QUICK),
    Fault("out-of-memory", outages.run_out_of_memory, 6, _QUICK, may_fail=True),
    Fault("readonly", outages.become_a_replica, 6, _QUICK, may_fail=True),
    Fault(
        "sentinel-failover",
        failovers.kill_primary_of_sentinels,
        5,
        site=failovers.SentinelSite,
    ),
    Fault(
        "cluster-failover",
        failovers.kill_primary_of_cluster,
        5,
        site=failovers.ClusterSite,
    ),
    Fault("slot-migration", failovers.move_slot, 10, site=failovers.ClusterSite),
    Fault(
        "schedules-kill",
        schedules.kill_elected,
        20,
        _SCHEDULES,
        site=schedules.ScheduleSite,
    ),
    Fault(
        "schedules-swallow",
        schedules.swallow,
        20,
        _SCHEDULES,
        site=schedules.ScheduleSite,
    ),
    Fault("schedules-away", schedules.be_away, 2, _SCHEDULES, site=schedules.AwaySite),
    Fault("rubbish", garbage.rubbish, 20),
    Fault("poison", garbage.poison, 20, _BRIEF, may_fail=True),
    Fault("stale-entries", garbage.stale_entries, 2, may_fail=True),
    Fault("partial-keys", garbage.partial_keys, 5, _HEALING, may_fail=True),
)
