#!/usr/bin/env bash
set -eo pipefail  # not -u: ROS's own files read what is not set
source /opt/mimic_drive/setup.bash
exec "$@"
