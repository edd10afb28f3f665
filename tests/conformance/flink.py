"""Asks a real Flink what expressions are worth, all in one process.

    flink.py EXPRESSIONS

EXPRESSIONS has one JSON string a line. Prints one JSON object a line, in the same order: {"value"},
{"error": "plan"} or {"error": "run"}, each with "type" unless Flink can't tell it; and first
{"version"}. "value" is what CAST(… AS STRING) gives, "type" what TYPEOF(…) gives.

A query takes seconds, the planner's own evaluation of constants milliseconds: it generates the same
code and runs it here. What it leaves alone (some functions of JSON) goes through a query.
"""

import json
import re
import sys
from importlib.metadata import version

# What the planner never evaluates itself.
NOT_FOLDED = re.compile(r"JSON_OBJECT|JSON_ARRAY|\bJSON_STRING|\bRAND|\bUUID|CURRENT_|LOCALTIME|NOW\(|UNIX_TIMESTAMP\(\)")
# Columns of one query; generated code must not get too long.
COLUMNS_MAX = 40


class Flink:
    def __init__(self):
        from pyflink.java_gateway import get_gateway
        from pyflink.table import EnvironmentSettings, TableEnvironment

        self.environment = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
        config = self.environment.get_config()
        for key, value in {
            "parallelism.default": "1",
            "restart-strategy.type": "none",
            "table.local-time-zone": "UTC",
        }.items():
            config.set(key, value)
        self.java = get_gateway()
        self.reducer = None

    def tree(self, query):
        return self.environment._j_tenv.sqlQuery(query).getQueryOperation().getCalciteTree()

    def folded(self, query):
        """What the planner makes of the query's only column: (whether it could, the value)."""
        tree = self.tree(query)
        if self.reducer is None:
            self.reducer = self.new_reducer(tree)
        given, reduced = self.java.jvm.java.util.ArrayList(), self.java.jvm.java.util.ArrayList()
        given.add(tree.getProjects().get(0))
        self.reducer.reduce(tree.getCluster().getRexBuilder(), given, reduced)
        node = reduced.get(0)
        if node.getClass().getSimpleName() != "RexLiteral":
            return False, None
        return True, None if node.isNull() else node.getValue2()

    def new_reducer(self, tree):
        loader = tree.getClass().getClassLoader()
        reducer = loader.loadClass("org.apache.flink.table.planner.codegen.ExpressionReducer")
        arguments = self.java.new_array(self.java.jvm.java.lang.Object, 3)
        arguments[0] = self.environment._j_tenv.getConfig()
        arguments[1] = self.java.jvm.Thread.currentThread().getContextClassLoader()
        arguments[2] = True
        return reducer.getConstructors()[0].newInstance(arguments)

    def answer(self, expression):
        found = {}
        try:
            found["type"] = self.folded(f"SELECT TYPEOF({expression})")[1]
        except Exception:
            pass
        try:
            could, value = self.folded(f"SELECT CAST({expression} AS STRING)")
        except Exception as error:
            return found | {"error": "plan", "message": reason(error)}
        return found | ({"value": value} if could else {"error": "run"})

    def run(self, expressions):
        """Values and types by a query with these columns; an error is halved until it is alone."""
        query = "SELECT " + ", ".join(f"CAST({it} AS STRING), TYPEOF({it})" for it in expressions)
        try:
            row = list(next(iter(self.environment.execute_sql(query).collect())))
            return [{"value": value, "type": of} for value, of in zip(row[::2], row[1::2])]
        except Exception as error:
            if len(expressions) == 1:
                return [{"error": "plan" if "SQL validation failed" in str(error) else "run"}]
            middle = len(expressions) // 2
            return self.run(expressions[:middle]) + self.run(expressions[middle:])


def reason(error):
    lines = [line for line in str(error).splitlines() if "Exception" in line]
    return lines[-1][:300] if lines else str(error)[:300]


def main():
    print(json.dumps({"version": version("apache-flink")}), flush=True)
    with open(sys.argv[1], encoding="utf-8") as lines:
        expressions = [json.loads(line) for line in lines]
    flink = Flink()
    answers = []
    for count, expression in enumerate(expressions):
        answers.append(flink.answer(expression))
        if count % 200 == 199:
            print(f"{count + 1} of {len(expressions)}", file=sys.stderr, flush=True)
    left = [
        at
        for at, answer in enumerate(answers)
        if "error" in answer and NOT_FOLDED.search(expressions[at])
    ]
    for start in range(0, len(left), COLUMNS_MAX):
        part = left[start : start + COLUMNS_MAX]
        for at, found in zip(part, flink.run([expressions[at] for at in part])):
            kept = {key: answers[at][key] for key in ("type",) if key in answers[at]}
            answers[at] = kept | found
    for answer in answers:
        print(json.dumps(answer), flush=True)


main()
