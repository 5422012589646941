package upstream

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// testOptions makes checks frequent and logs what a failed test wants to know.
func testOptions(t *testing.T, address string) Options {
	return Options{
		Address:    address,
		Interval:   10 * time.Millisecond,
		Refresh:    30 * time.Millisecond,
		MaxBackoff: 30 * time.Millisecond,
		Logger:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// changes collects what OnChange reports.
type changes struct {
	mu  sync.Mutex
	all []*Info
}

func (c *changes) add(i *Info) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, i)
}

func (c *changes) list() []*Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// watch starts an Upstream that ends with the test.
func watch(t *testing.T, opts Options) (*Upstream, *changes) {
	t.Helper()
	u, seen := New(opts), &changes{}
	u.OnChange(seen.add)
	u.Start(t.Context())
	t.Cleanup(u.Stop)
	return u, seen
}

// await polls until Info satisfies cond and returns it.
func await(t *testing.T, u *Upstream, what string, cond func(*Info) bool) *Info {
	t.Helper()
	var info *Info
	proxytest.Poll(t, what, func() bool {
		info = u.Info()
		return cond(info)
	})
	return info
}

func isUp(i *Info) bool   { return i.Up }
func isDown(i *Info) bool { return !i.Up }

func probe(t *testing.T, opts Options) *Info {
	t.Helper()
	u := New(opts)
	defer u.Stop()
	info, err := u.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if u.Info() != info {
		t.Error("Info is not what Probe returned")
	}
	return info
}

func TestProbeReadsEveryServer(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		info := probe(t, testOptions(t, srv.Addr))
		server := "redis"
		if srv.Binary.Kind == "valkey" {
			server = "valkey"
		}
		if info.Server != server || info.Version != srv.Binary.Version || info.Supported() != nil {
			t.Errorf("got %s %s, want %s", info.Server, info.Version, srv.Binary)
		}
		replication := srv.Info("replication")
		want := Info{
			Up: true, Generation: 1, Server: server, Version: srv.Binary.Version,
			VersionNum: versionNum(srv.Binary.Version), RunID: srv.Info("server")["run_id"],
			Role: "master", ReplID: replication["master_replid"], ReplID2: replication["master_replid2"],
			Databases: 16, ProtoMaxBulk: 512 << 20, Maxclients: info.Maxclients,
			MaxMemoryPolicy: "noeviction", AppendOnly: true, AppendFsync: "always",
			Save: "3600 1", LastSave: "ok", LastAOFWrite: "ok", CommandReply: info.CommandReply,
			refusals:  refusalFacts{stopsOnSave: true},
			LogSlower: 10_000, LogRequests: -1, LogReplies: -1,
		}
		if info.LogRequests > 0 { // Valkey 8.1
			want.LogRequests, want.LogReplies = 1<<20, 1<<20
		}
		if !info.sameAs(&want) {
			t.Errorf("got  %+v\nwant %+v", info.substance(), want.substance())
		}
		if commands, ok := info.CommandReply.([]any); !ok || len(commands) < 200 {
			t.Errorf("COMMAND: got %T with %d entries", info.CommandReply, len(commands))
		}
		if info.Maxclients < 100 {
			t.Errorf("maxclients: got %d", info.Maxclients)
		}
		// Nothing in the handshake or the checks may be an error to any version.
		if stats := srv.Info("errorstats"); len(stats) > 0 {
			t.Errorf("the server counted errors: %v", stats)
		}
	}, "--appendonly", "yes", "--appendfsync", "always", "--save", "3600 1")
}

func TestProbeOverUnixSocket(t *testing.T) {
	srv := proxytest.Spec{Unix: true}.Start(t)
	if info := probe(t, testOptions(t, srv.Addr)); info.Role != "master" {
		t.Errorf("got %+v", info)
	}
}

func TestControlConnectionsAreKnown(t *testing.T) {
	srv := proxytest.StartServer(t)
	u := New(testOptions(t, srv.Addr))
	if _, err := u.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, _ := srv.MustDo("CLIENT", "LIST").(string)
	addrs := u.ControlAddrs()
	if len(addrs) != 1 || !strings.Contains(list, " addr="+addrs[0]+" ") {
		t.Errorf("control connections %q in CLIENT LIST:\n%s", addrs, list)
	}
	if !strings.Contains(list, " name="+DefaultClientName+" ") {
		t.Errorf("no %s in CLIENT LIST:\n%s", DefaultClientName, list)
	}
	u.Stop()
	if addrs := u.ControlAddrs(); len(addrs) != 0 {
		t.Errorf("control connections after Stop: %q", addrs)
	}
}

func TestDoAfterRestartNeedsNoRetry(t *testing.T) {
	srv := proxytest.StartServer(t)
	u := New(testOptions(t, srv.Addr))
	defer u.Stop()
	for range 3 {
		if v, err := u.Do(t.Context(), "PING"); v != "PONG" || err != nil {
			t.Fatalf("got %v, %v", v, err)
		}
		srv.Restart()
	}
}

func TestRestartIsSeen(t *testing.T) {
	srv := proxytest.StartServer(t)
	u, seen := watch(t, testOptions(t, srv.Addr))
	first := await(t, u, "up", isUp)
	srv.Stop()
	down := await(t, u, "down", isDown)
	if down.Err == nil || down.RunID != first.RunID || down.Generation != first.Generation {
		t.Errorf("down: got %+v, want an error and the rest as it was", down)
	}
	srv.Restart()
	second := await(t, u, "up again", isUp)
	if second.Generation != first.Generation+1 || second.RunID == first.RunID {
		t.Errorf("up again: got generation %d, run id %s, after %d, %s",
			second.Generation, second.RunID, first.Generation, first.RunID)
	}
	if !second.Since.After(first.Since) {
		t.Errorf("since: got %v, want later than %v", second.Since, first.Since)
	}
	proxytest.Poll(t, "OnChange to hear of it", func() bool { return len(seen.list()) == 3 })
	var ups []bool
	for _, i := range seen.list() {
		ups = append(ups, i.Up)
	}
	if !slices.Equal(ups, []bool{true, false, true}) {
		t.Errorf("OnChange: got up %v, want true, false, true", ups)
	}
}

func TestQuickRestartNeedsNoDown(t *testing.T) {
	srv := proxytest.StartServer(t)
	opts := testOptions(t, srv.Addr)
	opts.Interval = time.Hour
	u, seen := watch(t, opts)
	first := await(t, u, "up", isUp)
	srv.Restart()
	u.Recheck()
	second := await(t, u, "the new run id", func(i *Info) bool { return i.RunID != first.RunID })
	if !second.Up || second.Generation != 2 || !second.Since.Equal(first.Since) {
		t.Errorf("got up %v, generation %d, since %v", second.Up, second.Generation, second.Since)
	}
	proxytest.Poll(t, "two changes", func() bool { return len(seen.list()) == 2 })
}

func TestKilledControlConnectionIsNoOutage(t *testing.T) {
	srv := proxytest.StartServer(t)
	u, seen := watch(t, testOptions(t, srv.Addr))
	await(t, u, "up", isUp)
	for range 5 {
		srv.MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		at := time.Now()
		await(t, u, "a check after the kill", func(i *Info) bool { return i.Checked.After(at) })
	}
	if got := len(seen.list()); got != 1 {
		t.Errorf("got %d changes, want the first only", got)
	}
}

func TestChangeOfRoleIsAnotherGeneration(t *testing.T) {
	primary := proxytest.StartServer(t)
	srv := proxytest.StartServer(t)
	u, _ := watch(t, testOptions(t, srv.Addr))
	await(t, u, "up", isUp)
	srv.MustDo("REPLICAOF", "127.0.0.1", primary.Port)
	info := await(t, u, "the other role", func(i *Info) bool { return i.Role == "slave" })
	if info.Generation != 2 || !info.Up {
		t.Errorf("got generation %d, up %v", info.Generation, info.Up)
	}
}

func TestChangedConfigurationIsSeen(t *testing.T) {
	srv := proxytest.StartServer(t)
	u, _ := watch(t, testOptions(t, srv.Addr))
	if info := await(t, u, "up", isUp); info.AuthRequired || info.AppendOnly {
		t.Errorf("got %+v", info)
	}
	srv.MustDo("CONFIG", "SET", "appendonly", "yes", "appendfsync", "always",
		"proto-max-bulk-len", "1048576", "maxmemory", "104857600")
	await(t, u, "the new configuration", func(i *Info) bool {
		return i.AppendOnly && i.AppendFsync == "always" && i.ProtoMaxBulk == 1<<20 &&
			i.MaxMemory == 100<<20 && i.Generation == 1
	})
	srv.MustDo("CONFIG", "SET", "requirepass", "secret")
	await(t, u, "the demand for a password", func(i *Info) bool { return i.AuthRequired })
}

func TestLogin(t *testing.T) {
	srv := proxytest.StartServer(t, "--requirepass", "secret")
	opts := testOptions(t, srv.Addr)
	for name, row := range map[string]struct {
		username, password string
		loggedIn           bool
	}{
		"right":         {"", "secret", true},
		"right by name": {"default", "secret", true},
		"none":          {"", "", false},
		"wrong":         {"", "guess", false},
		"unknown user":  {"nobody", "secret", false},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Username, opts.Password = row.username, row.password
			info := probe(t, opts)
			if !info.Up || !info.AuthRequired {
				t.Errorf("got up %v, auth required %v; want both", info.Up, info.AuthRequired)
			}
			if in := info.Err == nil; in != row.loggedIn || in != (info.CommandReply != nil) {
				t.Errorf("got error %v, commands %T", info.Err, info.CommandReply)
			}
			if !row.loggedIn && !errors.Is(info.Err, ErrLogin) {
				t.Errorf("got %v, want %v", info.Err, ErrLogin)
			}
		})
	}
}

func TestLoginThatBecomesRight(t *testing.T) {
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "control", "on", ">old", "~*", "+@all")
	opts := testOptions(t, srv.Addr)
	opts.Username, opts.Password = "control", "new"
	u, _ := watch(t, opts)
	await(t, u, "the refusal", func(i *Info) bool { return i.Up && errors.Is(i.Err, ErrLogin) })
	srv.MustDo("ACL", "SETUSER", "control", "resetpass", ">new")
	await(t, u, "the login", func(i *Info) bool { return i.Err == nil && i.CommandReply != nil })
}

func TestMissingPermissionsDegrade(t *testing.T) {
	srv := proxytest.StartServer(t, "--requirepass", "secret")
	for name, row := range map[string]struct {
		acl     []any
		missing []string
		check   func(*Info) bool
	}{
		"nothing allowed": {nil, []string{"command", "config|get", "info"}, func(i *Info) bool {
			return i.RunID == "" && i.CommandReply == nil && i.Databases == 0
		}},
		"no config": {[]any{"+info", "+command"}, []string{"config|get"}, func(i *Info) bool {
			return i.Role == "master" && i.CommandReply != nil && i.Databases == 0
		}},
		"no info": {[]any{"+config|get", "+command"}, []string{"info"}, func(i *Info) bool {
			return i.Role == "" && i.CommandReply != nil && i.Databases == 16
		}},
		"no command": {[]any{"+info", "+config|get"}, []string{"command"}, func(i *Info) bool {
			return i.Role == "master" && i.CommandReply == nil && i.Databases == 16
		}},
		"enough": {[]any{"+info", "+config|get", "+command"}, nil, func(i *Info) bool {
			return i.Role == "master" && i.CommandReply != nil && i.Databases == 16
		}},
	} {
		t.Run(name, func(t *testing.T) {
			srv.MustDo("ACL", "DELUSER", "control")
			srv.MustDo(append([]any{"ACL", "SETUSER", "control", "on", ">pw"}, row.acl...)...)
			opts := testOptions(t, srv.Addr)
			opts.Username, opts.Password = "control", "pw"
			u, seen := watch(t, opts)
			info := await(t, u, "up", isUp)
			if info.Err != nil || !slices.Equal(info.Missing, row.missing) || !row.check(info) {
				t.Errorf("got error %v, missing %q in %+v", info.Err, info.Missing, info.substance())
			}
			if !info.AuthRequired || info.Generation != 1 {
				t.Errorf("got auth required %v, generation %d", info.AuthRequired, info.Generation)
			}
			at := time.Now().Add(2 * opts.Refresh)
			await(t, u, "a refresh", func(i *Info) bool { return i.Checked.After(at) })
			if got := len(seen.list()); got != 1 {
				t.Errorf("got %d changes of a server that did not change", got)
			}
		})
	}
}

func TestRefusedConnections(t *testing.T) {
	srv := proxytest.StartServer(t)
	srv.MustDo("CONFIG", "SET", "maxclients", "1")
	u := New(testOptions(t, srv.Addr))
	defer u.Stop()
	info, err := u.Probe(t.Context())
	if info.Up || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "max number") {
		t.Errorf("got up %v, error %v; want down with %v", info.Up, err, ErrRefused)
	}
}

func TestBusyServerIsUp(t *testing.T) {
	srv := proxytest.StartServer(t, "--busy-reply-threshold", "1")
	u, seen := watch(t, testOptions(t, srv.Addr))
	await(t, u, "up", isUp)
	script := make(chan error, 1)
	go func() {
		_, err := srv.Do("EVAL", "while true do end", "0")
		script <- err
	}()
	conn := proxytest.NewClient("tcp", srv.Addr, "")
	defer conn.Close()
	proxytest.Poll(t, "the script to run", func() bool {
		err := conn.Ping(context.Background()).Err()
		return err != nil && strings.HasPrefix(err.Error(), "BUSY")
	})
	at := time.Now()
	await(t, u, "a check of the busy server", func(i *Info) bool { return i.Checked.After(at) })
	if err := conn.ScriptKill(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-script; err == nil {
		t.Error("the script ended by itself")
	}
	for _, i := range seen.list() {
		if !i.Up || i.Generation != 1 {
			t.Errorf("got up %v, generation %d", i.Up, i.Generation)
		}
	}
}

func TestSilentServerIsDown(t *testing.T) {
	srv := proxytest.StartServer(t)
	opts := testOptions(t, srv.Addr)
	opts.ConnectTimeout = 100 * time.Millisecond
	u, _ := watch(t, opts)
	await(t, u, "up", isUp)
	srv.Pause()
	if info := await(t, u, "down", isDown); !timedOut(info.Err) {
		t.Errorf("got %v, want a timeout", info.Err)
	}
	srv.Resume()
	if info := await(t, u, "up", isUp); info.Generation != 1 {
		t.Errorf("got generation %d of the same server", info.Generation)
	}
}

func TestDo(t *testing.T) {
	srv := proxytest.StartServer(t)
	u := New(testOptions(t, srv.Addr))
	defer u.Stop()
	if v, err := u.Do(t.Context(), "SET", "k", "v"); v != "OK" || err != nil {
		t.Errorf("SET: got %v, %v", v, err)
	}
	if v, err := u.Do(t.Context(), "GET", "none"); v != nil || err != nil {
		t.Errorf("GET none: got %v, %v", v, err)
	}
	if _, err := u.Do(t.Context(), "INCR", "k"); err == nil {
		t.Error("INCR of a text: no error")
	} else if text, ok := serverError(err); !ok || !strings.HasPrefix(text, "ERR value is not") {
		t.Errorf("INCR of a text: got %v, want the server's own error", err)
	}
}

func TestProbeLeavesInfoAloneWhenItsContextEnds(t *testing.T) {
	srv := proxytest.StartServer(t)
	u := New(testOptions(t, srv.Addr))
	defer u.Stop()
	before, err := u.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	srv.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if info, err := u.Probe(ctx); err == nil || info != before || u.Info() != before {
		t.Errorf("got %+v, %v", info, err)
	}
}

func TestStop(t *testing.T) {
	srv := proxytest.StartServer(t)
	t.Run("a silent server", func(t *testing.T) {
		opts := testOptions(t, srv.Addr)
		opts.ConnectTimeout = time.Hour // so that only Stop can end the check
		u, _ := watch(t, opts)
		await(t, u, "up", isUp)
		srv.Pause()
		defer srv.Resume()
		proxytest.Poll(t, "checks to hang", func() bool {
			return time.Since(u.Info().Checked) > 10*u.opts.Interval
		})
		u.Stop()
		u.Stop()
	})
	t.Run("before start", func(t *testing.T) {
		u := New(testOptions(t, srv.Addr))
		u.Stop()
		u.Start(t.Context())
		u.Wait()
		if _, err := u.Do(t.Context(), "PING"); err == nil {
			t.Error("Do after Stop: no error")
		}
	})
	t.Run("by context", func(t *testing.T) {
		u := New(testOptions(t, srv.Addr))
		ctx, cancel := context.WithCancel(t.Context())
		u.Start(ctx)
		await(t, u, "up", isUp)
		cancel()
		u.Wait()
		if _, err := u.Do(t.Context(), "PING"); err == nil {
			t.Error("Do after the end: no error")
		}
	})
}

// A server that is seen to answer is not asked all the time; when it falls silent it is.
func TestSeenSparesTheServer(t *testing.T) {
	srv := proxytest.StartServer(t)
	u := New(Options{Address: srv.Addr, Interval: 5 * time.Millisecond, Refresh: time.Hour,
		Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	u.Start(ctx)
	t.Cleanup(func() { cancel(); u.Stop() })
	proxytest.Poll(t, "the server is up", func() bool { return u.Info().Up })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				u.Seen()
			}
		}
	})
	at := u.Info().Checked
	for checks := 0; checks < 3; { // settle: a check may be under way
		time.Sleep(20 * time.Millisecond)
		if now := u.Info().Checked; now.Equal(at) {
			checks++
		} else {
			at, checks = now, 0
		}
	}
	close(stop)
	wg.Wait()
	proxytest.Poll(t, "it is asked again", func() bool { return u.Info().Checked.After(at) })
}
