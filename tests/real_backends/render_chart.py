"""Render a Helm chart with Helm's own code, which helm-python-sdk contains. Needs no cluster.

Reads {"chart": path, "cases": [values, …]} from stdin. Prints a list: for each case its manifests, or the error.
"""

import json
import sys

from helm_python import Chart
from helm_python.chart import lint
from helm_python.errors import HelmError

request = json.load(sys.stdin)
results = []
with Chart.load(request["chart"]) as chart:
    for values in request["cases"]:
        try:
            manifests = chart.render(values, name="munjigi")
        except HelmError as error:
            results.append({"error": str(error)})
        else:
            results.append({"manifests": manifests, "lint": lint(request["chart"], values, strict=True)["errors"]})
sys.stdout.write(json.dumps(results))
