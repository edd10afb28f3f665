"""Flott and Flink as processes that run one script, and what they cost."""
import glob, json, os, shutil, signal, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS = os.sysconf("SC_CLK_TCK")

def descendants(pid):
    found, todo = [pid], [pid]
    while todo:
        at = todo.pop()
        try:
            for task in os.listdir(f"/proc/{at}/task"):
                with open(f"/proc/{at}/task/{task}/children") as file:
                    children = [int(it) for it in file.read().split()]
                found += children
                todo += children
        except OSError:
            pass
    return found

class Engine:
    """One process and its children, in a directory of its own."""
    name = ""
    def __init__(self, place, statements, interval="10 s", restored=False):
        self.place, self.statements, self.interval = place, statements, interval
        os.makedirs(place, exist_ok=True)
        self.log = f"{place}/log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(restored), cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env={**os.environ, "TZ": "UTC", **self.environment()})

    def environment(self):
        return {}

    def cost(self):
        """(CPU seconds so far, resident MiB) of all its processes."""
        cpu = memory = 0
        for pid in descendants(self.process.pid):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                # Its own time, and that of children that have ended.
                cpu += sum(int(it) for it in fields[11:15])
                memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            except (OSError, IndexError):
                pass
        return cpu / TICKS, memory / (1 << 20)

    def ended(self):
        """Its exit code; None while it runs."""
        return self.process.poll()

    def kill(self):
        for pid in reversed(descendants(self.process.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def tail(self):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-40:])

class Flott(Engine):
    name = "flott"
    def command(self, _restored):
        options = {"execution.checkpointing.interval": self.interval, "execution.checkpointing.dir": f"{self.place}/checkpoints",
                   "parallelism.default": "2", "pipeline.name": "benchmark"}
        command = [os.environ.get("FLOTT", "flott"), "run", "--quiet"]
        for name, value in options.items():
            command += ["-D", f"{name}={value}"]
        return command + ["-e", ";\n".join(self.statements)]

class Flink(Engine):
    """PyFlink with the mini-cluster in its JVM: two slots, objects reused, state in the heap."""
    name = "flink"
    def environment(self):
        return {"JVM_ARGS": f"-Xmx{os.environ.get('MAXHEAP', '4g')}"}

    def command(self, restored):
        options = {
            "execution.target": "local", "rest.port": "0", "taskmanager.numberOfTaskSlots": "2", "parallelism.default": "2",
            "taskmanager.memory.network.min": "160mb", "taskmanager.memory.network.max": "160mb", "restart-strategy.type": "none",
            "pipeline.object-reuse": "true", "state.backend.type": "hashmap", "execution.checkpointing.interval": self.interval,
            "execution.checkpointing.dir": f"file://{self.place}/checkpoints",
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        }
        if restored:
            newest = max(glob.glob(f"{self.place}/checkpoints/*/chk-*/_metadata"), key=lambda it: os.stat(it).st_mtime_ns)
            options["execution.state-recovery.path"] = "file://" + os.path.dirname(newest)
        with open(f"{self.place}/job.json", "w") as file:
            json.dump({"options": options, "statements": self.statements}, file)
        return [os.environ["FLOTT_FLINK_PYTHON"], os.path.abspath(__file__), self.place]

ENGINES = {"flott": Flott, "flink": Flink}

def clean(place):
    shutil.rmtree(place, ignore_errors=True)

def work(place):
    """The process with Flink's client, and with its mini-cluster."""
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

if __name__ == "__main__":
    work(sys.argv[1])
