package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// lostServer is a recorded server that has died, with its digest.
func lostServer(t *testing.T, srv *proxytest.Server, more string) (p *process, digest any) {
	t.Helper()
	p = startProxy(t, srv, recordingConfig+more)
	fill(t, p, 30)
	srv.MustDo("SET", "expires", 1, "PX", 3600_000)
	digest = srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	srv.Kill()
	return p, digest
}

func (p *process) text() string {
	p.t.Helper()
	text, err := os.ReadFile(p.file)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// recovered makes sure that the proxy serves from dst with the data of before, that its journal
// goes on, and that the file differs in the address alone.
func (p *process) recovered(dst *proxytest.Server, old, was string, digest any) {
	p.t.Helper()
	if got := dst.MustDo("DEBUG", "DIGEST"); got != digest {
		p.t.Errorf("digest %v, want %v", got, digest)
	}
	if want := strings.Replace(was, `"`+old+`"`, `"`+dst.Addr+`"`, 1); p.text() != want {
		p.t.Errorf("the file is\n%s\nwant\n%s", p.text(), want)
	}
	if err := p.do("SET", "after", 1); err != nil {
		p.t.Error(err)
	}
	if v := dst.MustDo("GET", "after"); v != "1" {
		p.t.Errorf("the write behind the recovery is not in the new server: %v", v)
	}
	p.recordedAll(dst)
	var v journalView
	out := mustRun(p.t, "journal", "ls", "--dir", p.folder(), "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Timelines) != 2 || v.Timelines[1].Parent != 1 ||
		len(v.Incidents) != 0 {
		p.t.Errorf("%v: %s", err, out)
	}
}

// The primary is gone; one command brings it back on another server, in front of which the proxy goes
// on.
func TestRecover(t *testing.T) {
	t.Parallel()
	for _, b := range proxytest.Binaries(t) {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: b.Kind, Args: recordedArgs}.Start(t)
			p, digest := lostServer(t, srv, "# kept as it is\n")
			dst := proxytest.Spec{Kind: b.Kind, Args: recordedArgs}.Start(t)
			was := p.text()
			line := []string{"recover", "--config", p.file, "--to", "redis://" + dst.Addr}
			dry := mustRun(t, append(line, "--dry-run")...)
			for _, want := range []string{"1. restore into " + dst.Addr, "2. " + p.file + ": upstream.address " +
				srv.Addr + " becomes", "3. RELOAD by the console at " + p.console, "dry run: nothing was done\n"} {
				if !strings.Contains(dry, want) {
					t.Errorf("the dry run lacks %q:\n%s", want, dry)
				}
			}
			if n := dst.MustDo("DBSIZE"); n != int64(0) || p.text() != was {
				t.Fatalf("the dry run touched something: %v keys", n)
			}
			out := mustRun(t, line...)
			if !strings.Contains(out, "done: the proxy answers from "+dst.Addr+" and is ready") {
				t.Error(out)
			}
			p.recovered(dst, srv.Addr, was, digest)
			backups, err := filepath.Glob(p.file + ".before-recover-*")
			if err != nil || len(backups) != 1 || !strings.Contains(out, backups[0]) {
				t.Fatal(backups, err, out)
			}
			if text, err := os.ReadFile(backups[0]); err != nil || string(text) != was {
				t.Errorf("the copy is %v\n%s", err, text)
			}
			// Once more, it finds everything done, and writes nothing into the server.
			var v recoverView
			again := mustRun(t, append(line, "--json")...)
			if err := json.Unmarshal([]byte(again), &v); err != nil || !v.Done || v.Backup != "" ||
				dst.MustDo("GET", "after") != "1" {
				t.Errorf("again: %v: %s", err, again)
			}
		})
	}
}

// Where no proxy runs, the file is changed and the command that starts it is named.
func TestRecoverWithoutAProxy(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, recordedArgs...)
	p, digest := lostServer(t, srv, "")
	p.stop()
	dst := proxytest.StartServer(t, recordedArgs...)
	was := p.text()
	out := mustRun(t, "recover", "--config", p.file, "--to", dst.Addr)
	if !strings.Contains(out, "no proxy runs: start the proxy: proxy serve --config "+p.file) ||
		strings.Contains(out, "done:") {
		t.Error(out)
	}
	p.again()
	proxytest.Poll(t, "the proxy serves", func() bool { return p.do("PING") == nil })
	p.recovered(dst, srv.Addr, was, digest)
}

// Each of these is found before anything is touched.
func TestRecoverRefusals(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, recordedArgs...)
	p := startProxy(t, srv, recordingConfig)
	fill(t, p, 5)
	p.recordedAll(srv)
	dst := proxytest.StartServer(t, recordedArgs...)
	refused := func(dst *proxytest.Server, want string, args ...string) {
		t.Helper()
		before, was := dst.MustDo("DEBUG", "DIGEST"), p.text()
		code, _, stderr := execute(t, append([]string{"recover", "--config", p.file, "--to", "redis://" + dst.Addr},
			args...)...)
		if code != exitFailed || !strings.Contains(stderr, "nothing was touched") || !strings.Contains(stderr, want) {
			t.Errorf("%d: %s\nwant %q", code, stderr, want)
		}
		if dst.MustDo("DEBUG", "DIGEST") != before || role(dst) != "master" || p.text() != was {
			t.Errorf("%s: something was touched", want)
		}
	}
	refused(dst, srv.Addr+" answers as a primary")
	srv.Kill()
	full := proxytest.StartServer(t, recordedArgs...)
	full.MustDo("SET", "own", 1)
	refused(full, "db0: 1 key; --force overwrites it")
	locked := proxytest.StartServer(t, recordedArgs...)
	locked.MustDo("ACL", "SETUSER", "restorer", "on", ">secret", "+@all", "~*", "&*")
	locked.MustDo("CONFIG", "SET", "requirepass", "other")
	refusedAs := func(want string, args ...string) {
		t.Helper()
		code, _, stderr := execute(t, append([]string{"recover", "--config", p.file, "--to",
			"redis://restorer:secret@" + locked.Addr}, args...)...)
		if code != exitFailed || !strings.Contains(stderr, want) || !strings.Contains(stderr, "nothing was touched") {
			t.Errorf("%d: %s\nwant %q", code, stderr, want)
		}
	}
	refusedAs(p.file + ":2:11: the proxy cannot log in at " + locked.Addr)
	plain := p.text()
	p.rewrite(strings.Replace(plain, "upstream: {", "upstream: {password: wrong, ", 1))
	refusedAs(p.file + ":2:22: the proxy cannot log in at " + locked.Addr)
	p.rewrite(strings.Replace(plain, "upstream: {", "upstream: # the server\n  {", 1))
	refused(full, "--force overwrites it")
	other := configFile(t, plain)
	code, _, stderr := execute(t, "recover", "--config", other, "--to", dst.Addr)
	if code != exitFailed || !strings.Contains(stderr, "there is no journal in") &&
		!strings.Contains(stderr, "it reads another file: "+p.file) {
		t.Errorf("another file: %d, %s", code, stderr)
	}
	p.rewrite(strings.Replace(plain, "admin: {address: \""+p.console+"\"", "admin: {address: \"off\"", 1))
	refused(dst, "admin.address is off")
	p.rewrite(strings.Replace(plain, p.console, "127.0.0.1:1", 1))
	refused(dst, "does not answer")
	p.rewrite("upstream: {hold: 1s}\n" + recordingConfig)
	code, _, stderr = execute(t, "recover", "--config", p.file, "--to", dst.Addr)
	if code != exitFailed || !strings.Contains(stderr, p.file+":1:11: upstream: has no address of its own") {
		t.Errorf("without an address: %d, %s", code, stderr)
	}
	p.rewrite(plain + "drain: 3s\n")
	dry := mustRun(t, "recover", "--config", p.file, "--to", dst.Addr, "--dry-run")
	if !strings.Contains(dry, "drain is 3s in the file and 10s in force: the RELOAD takes that over, too") {
		t.Error(dry)
	}
}

// The old server's later writes are reported where it is left running.
func TestRecoverLeavesTheOld(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, recordedArgs...)
	p := startProxy(t, srv, recordingConfig)
	fill(t, p, 5)
	p.recordedAll(srv)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				srv.MustDo("SET", fmt.Sprint("late:", i%10), i)
			}
		}
	}()
	dst := proxytest.StartServer(t, recordedArgs...)
	out := mustRun(t, "recover", "--config", p.file, "--to", dst.Addr, "--leave-old")
	close(stop)
	<-ended
	if !strings.Contains(out, "left behind: ") || !strings.Contains(out, " on 10 keys on timeline 1") ||
		!strings.Contains(out, "done: the proxy answers from "+dst.Addr) {
		t.Error(out)
	}
}

// TestKillTheRecover ends a recovery at each of its steps; the next run goes on from there.
func TestKillTheRecover(t *testing.T) {
	t.Parallel()
	steps := map[string]func(t *testing.T, p *process, dst *proxytest.Server, line []string){
		"within the restore": func(t *testing.T, p *process, dst *proxytest.Server, line []string) {
			dead := proxytest.StartFaultProxy(t, freeAddr(t))
			dead.Refuse()
			cmd := plain.command(t, append(line, "--listen", freeAddr(t), "--advertise", dead.Addr)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			proxytest.Poll(t, "it is a replica", func() bool { return role(dst) == "slave" })
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		},
		"restored": func(t *testing.T, p *process, dst *proxytest.Server, _ []string) {
			mustRun(t, "restore", "--dir", p.folder(), "--end", "--target", dst.Addr)
		},
		"the file is written": func(t *testing.T, p *process, dst *proxytest.Server, _ []string) {
			mustRun(t, "restore", "--dir", p.folder(), "--end", "--target", dst.Addr)
			p.rewrite(strings.Replace(p.text(), "upstream: {address: \"", "upstream: {address: \""+dst.Addr+"\" #", 1))
			text := p.text()
			from := strings.Index(text, " #")
			p.rewrite(text[:from] + text[from+strings.Index(text[from:], "}"):])
		},
		"reloaded, and clients have written": func(t *testing.T, p *process, dst *proxytest.Server, line []string) {
			mustRun(t, line...)
			if err := p.do("SET", "client", 1); err != nil {
				t.Fatal(err)
			}
			p.recordedAll(dst)
		},
	}
	for name, until := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t, recordedArgs...)
			p, digest := lostServer(t, srv, "")
			dst := proxytest.StartServer(t, recordedArgs...)
			was := p.text()
			line := []string{"recover", "--config", p.file, "--to", dst.Addr}
			until(t, p, dst, line)
			before := dst.MustDo("GET", "client")
			if out := mustRun(t, line...); !strings.Contains(out, "done: the proxy answers from "+dst.Addr) {
				t.Error(out)
			}
			if after := dst.MustDo("GET", "client"); after != before {
				t.Errorf("a client's write became %v, want %v", after, before)
			}
			dst.MustDo("DEL", "client")
			p.recovered(dst, srv.Addr, was, digest)
		})
	}
}

// TestKillTheRecoverAsItGoes kills one run as soon as each of its traces shows, one after the other.
func TestKillTheRecoverAsItGoes(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, recordedArgs...)
	p, digest := lostServer(t, srv, "")
	dst := proxytest.StartServer(t, recordedArgs...)
	was := p.text()
	line := []string{"recover", "--config", p.file, "--to", dst.Addr}
	for _, trace := range []func() bool{
		func() bool { return role(dst) == "slave" },
		func() bool { return dst.MustDo("DBSIZE") != int64(0) },
		func() bool { return role(dst) == "master" && dst.MustDo("DBSIZE") != int64(0) },
		func() bool { found, _ := filepath.Glob(p.file + ".*"); return len(found) > 0 },
		func() bool { return p.text() != was },
		func() bool { return strings.Contains(p.log.String(), "another upstream is in force") },
	} {
		cmd := plain.command(t, line...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		proxytest.Poll(t, "a trace", func() bool { return trace() || len(ended) > 0 })
		_ = cmd.Process.Kill()
		<-ended
	}
	mustRun(t, line...)
	p.recovered(dst, srv.Addr, was, digest)
}
