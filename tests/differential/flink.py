"""Runs scripts on a real Flink, all in one process, and keeps the rows they write.

    flink.py JOBS.json

What stands between /* flott */ and /* end */ is left out.

JOBS.json is a list of {"name", "script", "data", "out"}: the text of a script, the directories that
stand for ${DATA} and ${OUT}, and "generated", that stands for ${GENERATED}. Every script gets a
session of its own. Tables are the directories below "out". Prints one JSON object a line: {"name"} or
{"name", "error"}, and first {"version"}. What a script writes to `print` tables comes before its object.
"""

import json
import re
import sys
from importlib.metadata import version


def statements(text):
    """Splits a script at semicolons outside of quotes and comments; a statement set is one statement."""
    token = re.compile(r"'(?:[^']|'')*'|`[^`]*`|--[^\n]*|/\*(?!\+).*?\*/|;|[^'`;/-]+|.", re.S)
    found, current = [], ""
    for part in token.findall(text):
        if part.startswith("--") or (part.startswith("/*") and not part.startswith("/*+")):
            continue
        current += part
        if part != ";":
            continue
        is_set = re.match(r"\s*EXECUTE\s+STATEMENT\s+SET\b", current, re.I)
        if is_set and not re.search(r";\s*END\s*;$", current, re.I):
            continue
        found.append(current.strip().rstrip(";") + (";" if is_set else ""))
        current = ""
    return [statement for statement in found if statement]


def run(script):
    from pyflink.table import EnvironmentSettings, TableEnvironment

    batch = re.search(r"SET\s+'execution.runtime-mode'\s*=\s*'batch'", script, re.I)
    # The mode is the environment's from its beginning.
    mode = EnvironmentSettings.in_batch_mode() if batch else EnvironmentSettings.in_streaming_mode()
    environment = TableEnvironment.create(mode)
    environment.get_config().set("parallelism.default", "1")
    environment.get_config().set("table.local-time-zone", "UTC")
    for statement in statements(script):
        setting = re.fullmatch(r"SET\s+'([^']*)'\s*=\s*'([^']*)'", statement, re.I)
        if setting:
            environment.get_config().set(*setting.groups())
            continue
        environment.execute_sql(statement).wait()


def main():
    print(json.dumps({"version": version("apache-flink")}), flush=True)
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    for job in jobs:
        answer = {"name": job["name"]}
        try:
            script = job["script"]
            for variable in ("data", "out", "generated"):
                script = script.replace("${" + variable.upper() + "}", job[variable])
            run(re.sub(r"/\* flott \*/.*?/\* end \*/", "", script, flags=re.S))
        except Exception as error:  # The other scripts shall still run.
            lines = [line for line in str(error).splitlines() if line.strip() and not line.strip().startswith("at ")]
            answer["error"] = "\n".join(lines[:12])
        print(json.dumps(answer), flush=True)


main()
