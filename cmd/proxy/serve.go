package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"holdfast/configs"
	"holdfast/proxy"
	"holdfast/proxy/certs"
	"holdfast/proxy/takeover"
)

const aboutServe = `Serves clients until SIGTERM or SIGINT, then lets what is in flight finish, for
the configuration's drain time at most; a second signal ends it at once. SIGHUP reads the
configuration file again: a bad file changes nothing, and the log says why. SIGUSR2 (Linux)
upgrades: the process starts the program that stands in its place now, which takes over
its listening sockets and its journal; serve --takeover does the same by hand. Logs
go to standard error; with log.format text, standard output shows at the start
where to look next, and what is not protected yet.`

// A service is one run of serve.
type service struct {
	path    string // of the configuration file; empty for none
	log     *slog.Logger
	format  logFormat       // of log
	manager *supervision    // since the start
	started *configs.Config // the configuration at the start
	certs   *certs.Set      // in force; nil before the start
	hangups chan os.Signal

	succession *succession

	listening []*certs.Server // the listeners' and the operator's, since the start
}

// serve is the subcommand serve.
func serve(ctx context.Context, c *command, args []string) error {
	f := c.flags("serve", aboutServe)
	path := f.String("config", "", "the configuration `file`; without one, the defaults")
	over := f.Bool("takeover", false, "take over from the process that serves this configuration file, if there\n"+
		"is one: no connection is refused, and the journal has no gap")
	if err := c.parse(f, args); err != nil {
		return err
	}
	if *over && *path == "" {
		return usagef("--takeover needs --config: it takes over from the process with that file")
	}
	// SIGHUP must never end the process, even before the first configuration is loaded.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	defer holdHeap()()

	s := &service{path: *path, hangups: hangups}
	opts, err := s.start(c.stderr)
	if err != nil {
		return err
	}
	defer moreProcessors(opts.Workers, opts.Journal.Dir != "")()
	s.manager = newSupervision(s.log)
	defer s.manager.notify.Close()
	s.succession = newSuccession(s, c, args)
	if err := s.succession.receive(opts.Addresses()); err != nil {
		return err
	}
	if *over {
		opts.Claim = s.succession.claim(&opts)
		defer opts.Claim.Close()
	}
	for {
		inForce, again, err := s.run(ctx, c, opts)
		if !again || ctx.Err() != nil {
			return advised(unusable(placed(s.started, err)))
		}
		if opts, err = s.restart(ctx, c.stderr, inForce); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// restart prepares to serve again, after a process that took over has failed. The file may be newer than the
// configuration that was in force, and for that other process's version only: then the one in force stays. That
// process may still have the journal open, until it hears that it is too late. The end of ctx ends the wait without an
// error: this process has drained.
func (s *service) restart(ctx context.Context, stderr io.Writer, inForce proxy.Options) (proxy.Options, error) {
	started, certs, listening, log := s.started, s.certs, s.listening, s.log
	s.certs, s.listening = nil, nil
	opts, err := s.start(stderr)
	if err != nil {
		s.started, s.certs, s.listening, s.log = started, certs, listening, log
		s.log.Error("this process cannot use the configuration file, and serves again with the configuration that was "+
			"in force", "config", s.path, "error", err)
		opts, opts.Claim = inForce, nil
	}
	if opts.Candidates != nil && inForce.Candidates != nil {
		opts.Candidates.Known = inForce.Candidates.Known
	}
	s.manager.during("waiting for the journal, which the process that failed to take over still has open", awaitLife, func() {
		err = takeover.AwaitJournal(ctx, opts.Journal.Dir, s.log)
	})
	if ctx.Err() == nil {
		return opts, err
	}
	return opts, nil
}

// awaitLife is how long signs of life go on while this process waits for the journal. Then the service manager's watchdog
// ends the service, and with it the process that does not let go.
const awaitLife = 5 * time.Minute

// run serves until the end. again: another process took over and has failed, and its sockets are here again; inForce
// are the options at the end.
func (s *service) run(ctx context.Context, c *command, opts proxy.Options) (inForce proxy.Options, again bool, err error) {
	s.manager.begin()
	opts.Offer, opts.Sockets, opts.Takeovers = s.succession.offer(&opts), s.succession.sockets, s.succession.record
	opts.Serving = func() {
		s.manager.ready()
		s.succession.open(opts.Offer)
		s.guide(c.stdout)
	}
	opts.Draining = s.manager.stopping
	srv, err := proxy.New(opts)
	if err != nil {
		return opts, false, err
	}
	s.log.Info("starting", "version", opts.Version, "config", s.path, "pid", os.Getpid())
	ended, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.reloadOnHangup(ended, srv, s.hangups) })
	running.Go(func() { s.manager.watch(ended, srv) })
	running.Go(func() { s.succession.onSignal(ended) })
	err = srv.Run(ctx)
	again = !opts.Offer.Settle(ctx)
	end()
	running.Wait()
	s.succession.passOnLast(s.hangups)
	return srv.InForce(), again, err
}

// unusable marks errors as those of the configuration.
func unusable(err error) error {
	var all configs.Errors
	if errors.As(err, &all) {
		return fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	return err
}

// advised adds the usual cause to an error of the system.
func advised(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w (is a proxy, or the server itself, running there? --takeover replaces a proxy with "+
			"this configuration file)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w (no interface of this machine has that address)", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w (ports below 1024 and other people's folders take rights that this "+
			"process lacks)", err)
	}
	return err
}

// start loads the configuration for the first time and opens the log.
func (s *service) start(stderr io.Writer) (proxy.Options, error) {
	c, err := inspect(s.path)
	if err != nil {
		return proxy.Options{}, unusable(err)
	}
	s.started = c
	s.format.set(c.Log)
	s.log = s.format.logger(stderr)
	// Libraries without a logger of ours use the default one.
	slog.SetDefault(s.log)
	opts, err := s.options(c)
	if err != nil {
		return opts, unusable(err)
	}
	s.certs, s.listening = opts.Certificates, nil
	for _, l := range opts.Listeners {
		s.listening = append(s.listening, l.TLS)
	}
	s.listening = append(s.listening, opts.AdminTLS)
	if s.path != "" {
		opts.LoadOptions = s.load
		opts.ConfigFile = s.path
		if path, err := filepath.Abs(s.path); err == nil {
			opts.ConfigFile = path // the asking process may be in another folder
		}
	}
	return opts, nil
}

// load is proxy.Options.LoadOptions: it reads the file again, for SIGHUP and for RELOAD.
func (s *service) load() (proxy.Options, error) {
	c, err := inspect(s.path)
	if err != nil {
		return proxy.Options{}, err
	}
	opts, err := s.options(c)
	if err != nil {
		return opts, err
	}
	opts.Explain = func(err error) error { return placed(c, err) }
	opts.InForce = func() {
		s.format.set(c.Log)
		s.certs = opts.Certificates
	}
	return opts, nil
}

// reloadOnHangup reloads at each SIGHUP until ctx ends. Joined by serve.
func (s *service) reloadOnHangup(ctx context.Context, srv *proxy.Server, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if !s.succession.passOn() {
				s.manager.reloading(func() { s.reload(ctx, srv) })
			}
		}
	}
}

// reload reads the configuration again and logs the outcome.
func (s *service) reload(ctx context.Context, srv *proxy.Server) {
	fixed, err := srv.Reload(ctx)
	if err != nil {
		var all configs.Errors
		if !errors.As(err, &all) {
			s.log.Error("configuration", "error", err)
		}
		for _, e := range all {
			s.log.Error("configuration", "error", e)
		}
		s.log.Error("not reloaded: the configuration in force stays", "config", s.path)
		return
	}
	for _, name := range fixed {
		s.log.Warn("changed in the file, but needs a restart", "setting", name)
	}
	s.log.Info("reloaded", "config", s.path)
}
