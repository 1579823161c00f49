"""Run all benchmarks, or those that are named: ``python -m benchmarks [NAME ...] [--quick]``."""

from __future__ import annotations

import argparse
import os

from benchmarks import (
    benchmark_calibration,
    benchmark_catalogue,
    benchmark_cluster,
    benchmark_coordinator,
    benchmark_exposure,
    benchmark_forecast,
    benchmark_kubernetes,
    benchmark_scaling,
    benchmark_scan,
    benchmark_staleness,
)

BENCHMARKS = {
    "scan": benchmark_scan.main,
    "catalogue": benchmark_catalogue.main,
    "staleness": benchmark_staleness.main,
    "calibration": benchmark_calibration.main,
    "exposure": benchmark_exposure.main,
    "forecast": benchmark_forecast.main,
    "coordinator": benchmark_coordinator.main,
    "cluster": benchmark_cluster.main,
    "scaling": benchmark_scaling.main,
    "kubernetes": benchmark_kubernetes.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="less of everything")
    wanted = parser.parse_args()
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        print(f"The load is {load:.1f} on {cores} cores: processor times will be higher than on a quiet machine.")
    for name in wanted.names or BENCHMARKS:
        print(f"\n== {name}")
        BENCHMARKS[name](["--quick"] if wanted.quick else [])


if __name__ == "__main__":
    main()
