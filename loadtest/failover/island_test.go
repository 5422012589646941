package failover

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// An island is a network namespace that a pair of virtual interfaces joins to that of the test.
type island struct {
	testing.TB
	pid       string
	near, far string    // the address on each side
	link      [2]string // the interface on each side
	apart     bool      // cut
}

// islands counts them, for their names and addresses.
var islands atomic.Int32

// newIsland needs root. The namespace ends with the test.
func newIsland(t testing.TB) *island {
	t.Helper()
	n := islands.Add(1)
	i := &island{TB: t, near: fmt.Sprintf("10.20.%d.1", n), far: fmt.Sprintf("10.20.%d.2", n),
		link: [2]string{fmt.Sprint("near", n), fmt.Sprint("far", n)}}
	holder := exec.Command("unshare", "--net", "sh", "-c", "echo; exec cat")
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = holder.Wait() // it ends with its input
	})
	if n, err := out.Read(make([]byte, 1)); n != 1 {
		t.Fatalf("a network namespace needs root: %v", err)
	}
	i.pid = strconv.Itoa(holder.Process.Pid)
	i.run("ip", "link", "add", i.link[0], "type", "veth", "peer", "name", i.link[1], "netns", i.pid)
	for side, addr := range []string{i.near, i.far} {
		i.ip(side, "addr", "add", addr+"/24", "dev", i.link[side])
		i.ip(side, "link", "set", i.link[side], "up")
	}
	i.ip(1, "link", "set", "lo", "up")
	return i
}

// inside is a command that becomes the rest of its line, in the namespace.
func (i *island) inside() []string { return []string{"nsenter", "--target", i.pid, "--net"} }

// ip runs ip(8) on one side.
func (i *island) ip(side int, args ...string) {
	i.Helper()
	argv := append([]string{"ip"}, args...)
	if side == 1 {
		argv = append(i.inside(), argv...)
	}
	i.run(argv...)
}

func (i *island) run(argv ...string) {
	i.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		i.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// cut makes packets vanish on their way to either side, as a broken switch does: each is addressed
// to a network card that is not there.
func (i *island) cut() {
	i.Helper()
	i.apart = true
	for side, other := range []string{i.far, i.near} {
		i.ip(side, "neigh", "replace", other, "lladdr", "02:00:00:00:00:01", "dev", i.link[side], "nud", "permanent")
	}
}

// heal ends the cut.
func (i *island) heal() {
	i.Helper()
	for side, other := range []string{i.far, i.near} {
		i.ip(side, "neigh", "del", other, "dev", i.link[side])
	}
	i.apart = false
}

// insideEnv says that the test runs in a network namespace of its own.
const insideEnv = "HOLDFAST_FAILOVER_INSIDE"

// runInside runs this program in a network namespace of its own, and returns its exit code.
func runInside() int {
	cmd := exec.Command("unshare", append([]string{"--net", "sh", "-c", `ip link set lo up && exec "$0" "$@"`},
		os.Args...)...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "in a network namespace:", err)
		return 1
	}
	return 0
}
