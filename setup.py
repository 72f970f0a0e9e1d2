"""Which folders are installed. All else is in pyproject.toml.

`dashboards/` lies at the top of the repository and is installed as `tracker_logging.dashboards`; a mapping of one
package to a folder elsewhere, beside packages that are found, cannot be written in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tracker_logging", "tracker_logging.*"]), "tracker_logging.dashboards"],
    package_dir={"tracker_logging.dashboards": "dashboards"},
)
