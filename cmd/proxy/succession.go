package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/systemd"
	"holdfast/proxy/takeover"
)

// succession is serve's side of takeovers: the claim at the start, the offers while it serves, and SIGUSR2, which
// starts the next process.
type succession struct {
	sockets *takeover.Sockets
	record  *takeover.Record
	name    string   // of the configuration; "": there is no file to know it by
	program string   // its path at the start; another one may stand there by now
	args    []string // of serve
	out     [2]io.Writer
	log     *slog.Logger
	manager *supervision
	signals chan os.Signal
	started atomic.Bool // a process that was started by SIGUSR2 runs

	// The process that takes over, 0: none does, and the last SIGHUP in nanoseconds since 1970. Each is stored before the
	// other one is read, so that no SIGHUP falls between the two processes.
	heir, hangup atomic.Int64
}

func newSuccession(s *service, c *command, args []string) *succession {
	out := &succession{sockets: &takeover.Sockets{}, record: &takeover.Record{}, args: args, out: [2]io.Writer{c.stdout, c.stderr}, log: s.log,
		manager: s.manager, signals: make(chan os.Signal, 1)}
	if s.path != "" {
		path, err := filepath.Abs(s.path)
		if err != nil {
			path = s.path
		}
		out.name = takeover.Name(path)
	}
	// A program from PATH is looked up now: the one that is found then is the one that runs.
	program, err := exec.LookPath(os.Args[0])
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		program = os.Args[0]
	}
	out.program = program
	if len(upgradeSignals) > 0 {
		signal.Notify(out.signals, upgradeSignals...)
	}
	return out
}

// claim is what takes over from the process before.
func (s *succession) claim(o *proxy.Options) *takeover.Claim {
	return takeover.NewClaim(takeover.ClaimOptions{Name: s.name, Sockets: s.sockets, Version: o.Version,
		Journal: o.Journal.Dir, Log: s.log, Record: s.record})
}

// offer is what the next process takes over from; nil: none can.
func (s *succession) offer(o *proxy.Options) *takeover.Offer {
	if s.name == "" {
		return nil
	}
	return takeover.NewOffer(takeover.OfferOptions{Name: s.name, Sockets: s.sockets, Version: o.Version, Log: s.log, Record: s.record,
		Supervised: s.manager.notify != nil, Asked: s.handing, Taken: s.manager.leave})
}

// receive takes the sockets that the service manager has passed, for these addresses.
func (s *succession) receive(addresses []string) error {
	passed, err := systemd.Listening()
	if err != nil {
		return err
	}
	for _, p := range passed {
		s.log.Info("a socket of the service manager's", "address", p.Address, "name", p.Name)
	}
	return s.sockets.Give(passed, addresses)
}

// hangupFor is how long before a takeover a SIGHUP may have come so that the process that takes over, which has read the file
// by then, gets it, too.
const hangupFor = time.Minute

// handing is called when a process takes over.
func (s *succession) handing(pid int) {
	s.manager.handing(pid)
	s.heir.Store(int64(pid))
	if time.Since(time.Unix(0, s.hangup.Load())) < hangupFor {
		s.passTo(pid)
	}
}

// passOn hands a SIGHUP on to the process that takes over. False: none does, and the reload is this one's.
func (s *succession) passOn() bool {
	s.hangup.Store(time.Now().UnixNano())
	pid := int(s.heir.Load())
	if pid == 0 {
		return false
	}
	s.passTo(pid)
	return true
}

func (s *succession) passTo(pid int) {
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		s.log.Warn("SIGHUP is lost: the process that takes over does not get it", "pid", pid, "error", err)
		return
	}
	s.log.Info("SIGHUP is handed on to the process that takes over", "pid", pid)
}

// passOnLast ends a run: a SIGHUP that came too late for it is handed on, or left to the next run, whose file is read after it.
func (s *succession) passOnLast(hangups <-chan os.Signal) {
	select {
	case <-hangups:
		s.passOn()
	default:
	}
	s.heir.Store(0)
}

// open is called once every listener accepts. It begins to answer processes that come; without that the proxy serves all
// the same.
func (s *succession) open(o *takeover.Offer) {
	s.sockets.Own(s.log)
	if o == nil {
		return
	}
	if err := o.Open(); err != nil && !errors.Is(err, takeover.ErrUnsupported) {
		s.log.Warn("no other process can take over from this one: restart it for an upgrade", "error", err)
	}
}

// onSignal starts the next process at each SIGUSR2 until ctx ends. Joined by run.
func (s *succession) onSignal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.signals:
			s.start()
		}
	}
}

// start starts the program that stands in this one's place, to take over.
func (s *succession) start() {
	if s.name == "" {
		s.log.Error("no upgrade: it takes a configuration file, by which the next process finds this one")
		return
	}
	if !s.started.CompareAndSwap(false, true) {
		s.log.Warn("no second upgrade: the process of the first one has not taken over yet")
		return
	}
	args := append([]string{"serve"}, s.args...)
	if !slices.Contains(args, "--takeover") {
		args = append(args, "--takeover")
	}
	cmd := exec.Command(s.program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = nextEnv(os.Environ()), s.out[0], s.out[1]
	if err := cmd.Start(); err != nil {
		s.started.Store(false)
		s.log.Error("no upgrade: the program cannot be started", "program", s.program, "error", err)
		s.record.Ended(0, err)
		return
	}
	s.log.Info("an upgrade: the next process is started", "program", s.program, "pid", cmd.Process.Pid)
	go s.wait(cmd)
}

// wait reports the end of the next process, if it comes before this one's. Its owner is the process: the next one runs
// on after this one.
func (s *succession) wait(cmd *exec.Cmd) {
	err := cmd.Wait()
	s.log.Error("the process that was to take over has ended", "pid", cmd.Process.Pid, "error", err)
	s.record.Ended(cmd.Process.Pid, err)
	s.started.Store(false)
}

// nextEnv is the environment for the next process: without what names this one.
func nextEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return strings.HasPrefix(v, "WATCHDOG_PID=") || strings.HasPrefix(v, "LISTEN_")
	})
}
