package proxytest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestServerAnswersAndStops(t *testing.T) {
	EachServer(t, func(t *testing.T, srv *Server) {
		srv.MustDo("SET", "k", "v")
		if got := srv.MustDo("GET", "k"); got != "v" {
			t.Errorf("GET k: got %v, want v", got)
		}
		if got := srv.MustDo("GET", "none"); got != nil {
			t.Errorf("GET none: got %v, want nil", got)
		}
		if got, want := srv.Info("server")["process_id"], strconv.Itoa(srv.Pid); got != want {
			t.Errorf("process_id: got %s, want %s: the wrapper must exec its program", got, want)
		}
		srv.Stop()
		if conn, err := srv.Dial(); err == nil {
			conn.Close()
			t.Error("a stopped server still accepts")
		}
	})
}

func TestServerRestartsOnSameAddress(t *testing.T) {
	for name, spec := range map[string]Spec{"tcp": {}, "unix": {Unix: true}} {
		t.Run(name, func(t *testing.T) {
			spec.Args = []string{"--appendonly", "yes", "--appendfsync", "always"}
			srv := spec.Start(t)
			before, pid := srv.Info("server")["run_id"], srv.Pid
			srv.MustDo("SET", "k", "v")
			srv.Kill()
			srv.Restart()
			if got := srv.Info("server")["run_id"]; got == before || srv.Pid == pid {
				t.Errorf("the same process after Restart: run id %s, pid %d", got, srv.Pid)
			}
			if got := srv.MustDo("GET", "k"); got != "v" {
				t.Errorf("GET k from the append-only file: got %v, want v", got)
			}
			if _, err := os.Stat(filepath.Join(srv.Dir, "appendonlydir")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServerPauseAndResume(t *testing.T) {
	srv := StartServer(t)
	srv.MustDo("PING")
	srv.Pause()
	done := make(chan error, 1)
	go func() {
		_, err := srv.Do("INCR", "n")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("a paused server answered (error %v)", err)
	default:
	}
	srv.Resume()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	srv.Pause() // cleanup ends a paused server too
}

func TestServerWithPassword(t *testing.T) {
	srv := StartServer(t, "--requirepass", "secret")
	if got := srv.MustDo("PING"); got != "PONG" {
		t.Errorf("PING: got %v", got)
	}
}

func TestTakenPortIsReported(t *testing.T) {
	first := StartServer(t)
	second := &Server{Binary: first.Binary, Dir: t.TempDir(), t: t}
	second.Addr, second.Port, second.args = first.Addr, first.Port, first.args
	if err := second.launch(); !errors.Is(err, errPortTaken) {
		t.Fatalf("a second server on one port: got %v, want %v", err, errPortTaken)
	}
}
