"""A job of Flink's in a process of its own, with the client and its mini-cluster: what PLACE/job.json says, under
"options", and under "statements", of which the last runs until it ends or is killed.
"""
import json


def work(place):
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment
    with open(f"{place}/job.json") as file:
        job = json.load(file)
    configuration = Configuration()
    for name, value in job["options"].items():
        configuration.set_string(name, value)
    settings = EnvironmentSettings.new_instance().with_configuration(configuration).in_streaming_mode().build()
    table = TableEnvironment.create(settings)
    for statement in job["statements"][:-1]:
        table.execute_sql(statement)
    table.execute_sql(job["statements"][-1]).wait()
