package proxytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/proxy/proxytest/local"
)

// errPortTaken: a server could not listen because its address is in use.
var errPortTaken = errors.New("the port was taken")

// logName is the file in the server's folder that receives its output.
const logName = "server.log"

// process is one run of a server program.
type process struct {
	*local.Process
	dir string
}

// startProcess runs a program with its output appended to the log in dir.
func startProcess(path string, args []string, dir string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	p, err := local.Start(cmd)
	return &process{p, dir}, err
}

// waitReady waits until the server answers a PING with anything but "loading".
func (p *process) waitReady(ctx context.Context, dial func() (net.Conn, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.ready(dial) {
			return nil
		}
		select {
		case <-p.Exited():
			return p.exitError()
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v; its log ends:\n%s", startTimeout, logTail(p.dir))
		case <-tick.C:
		}
	}
}

// ready makes one attempt to get a PING answered by this very process: if the port was taken, its
// owner may answer before our process has noticed and exited.
func (p *process) ready(dial func() (net.Conn, error)) bool {
	conn, err := dial()
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\nINFO server\r\n")); err != nil {
		return false
	}
	r := bufio.NewReader(conn)
	pong, err := r.ReadString('\n')
	if err != nil || strings.HasPrefix(pong, "-LOADING") {
		return false
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "-LOADING") {
			return false
		}
		if strings.HasPrefix(line, "-") {
			return true // it wants a password, so its identity stays unknown
		}
		if pid, ok := strings.CutPrefix(line, "process_id:"); ok {
			return strings.TrimSpace(pid) == strconv.Itoa(p.Pid)
		}
	}
}

// exitError explains why the server is not running.
func (p *process) exitError() error {
	tail := logTail(p.dir)
	if strings.Contains(tail, "already in use") {
		return fmt.Errorf("%w:\n%s", errPortTaken, tail)
	}
	return fmt.Errorf("the server exited; its log ends:\n%s", tail)
}

// logTail returns the last lines of the server's log.
func logTail(dir string) string {
	const lines = 20
	text, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
