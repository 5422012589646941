package scratch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/journal/tap"
	"holdfast/proxy/proxytest"
)

// beScratch makes the test binary a process that starts a scratch server and waits to be killed.
const beScratch = "HOLDFAST_TEST_BE_SCRATCH"

func TestMain(m *testing.M) {
	if program := os.Getenv(beScratch); program != "" {
		s, err := Start(context.Background(), Options{Program: program, Dir: os.Args[1]}, 1)
		if err != nil {
			panic(err)
		}
		GiveWay()
		fmt.Println(s.dir, s.cmd.Process.Pid)
		select {}
	}
	os.Exit(m.Run())
}

// plan records a server that fn writes to, and gives what a restore of its end needs.
func plan(t *testing.T, srv *proxytest.Server, fn func()) replay.RestoreOptions {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	tp, err := tap.New(tap.Options{Journal: j, Address: srv.Addr})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tp.Run(ctx) }()
	proxytest.Poll(t, "the journal to be attached", func() bool {
		return tp.Attached() && tp.Confirmed().Timeline != 0
	})
	fn()
	proxytest.Poll(t, "the journal to catch up", func() bool {
		return fmt.Sprint(tp.Confirmed().Offset) == srv.Info("replication")["master_repl_offset"]
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	view, err := journal.OpenView(nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	point, err := replay.Locate(context.Background(), view, replay.Selector{Kind: replay.AtEnd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := replay.NewPlan(context.Background(), view, point, nil)
	if err != nil {
		t.Fatal(err)
	}
	return replay.RestoreOptions{View: view, Plan: p}
}

// folders are those of scratch servers in a folder.
func folders(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRebuild rebuilds a recorded server on a private one of each version.
func TestRebuild(t *testing.T) {
	t.Parallel()
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: b.Kind, Args: []string{"--repl-diskless-sync-delay", "0",
				"--databases", "50"}}.Start(t)
			srv.MustDo("SET", "before", 1)
			r := plan(t, srv, func() {
				srv.MustDo("SET", "k", strings.Repeat("v", 1000))
				c := srv.Client().Conn()
				defer c.Close()
				if err := c.Do(context.Background(), "SELECT", 40).Err(); err != nil {
					t.Fatal(err)
				}
				if err := c.Do(context.Background(), "SET", "far", 1).Err(); err != nil {
					t.Fatal(err)
				}
			})
			dir := proxytest.ShortDir(t)
			s, err := Rebuild(context.Background(), Options{Program: b.Path, Dir: dir}, r)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			same(t, s, srv)
			if err := s.Close(); err != nil || len(folders(t, dir)) > 0 {
				t.Errorf("closed: %v, and it left %q", err, folders(t, dir))
			}
		})
	}
}

// same compares all keys.
func same(t *testing.T, s *Server, srv *proxytest.Server) {
	t.Helper()
	ctx := context.Background()
	a, err := keyspace.Open(ctx, s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := keyspace.Open(ctx, keyspace.Endpoint{Address: srv.Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	n := 0
	err = keyspace.Sync(ctx, keyspace.Options{Source: a, Target: b}, b.Keys(ctx, ""),
		func(r keyspace.Result) error {
			if n++; r.Relation != keyspace.Same {
				t.Errorf("%v: %v", r.Key, r.Relation)
			}
			return nil
		})
	if err != nil || n != 3 {
		t.Errorf("%d keys, %v", n, err)
	}
}

// TestServerIsNamed uses a server that runs, leaves its data there, and refuses one with data.
func TestServerIsNamed(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0")
	r := plan(t, srv, func() { srv.MustDo("SET", "k", 1) })
	dst := proxytest.StartServer(t)
	s, err := Rebuild(context.Background(), Options{Server: &keyspace.Endpoint{Address: dst.Addr}}, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || dst.MustDo("GET", "k") != "1" {
		t.Errorf("after Close it does not hold the data: %v", err)
	}
	dst.MustDo("SET", "own", 1)
	_, err = Rebuild(context.Background(), Options{Server: &keyspace.Endpoint{Address: dst.Addr}}, r)
	var pre *replay.PreflightError
	if !errors.As(err, &pre) || dst.MustDo("GET", "own") != "1" {
		t.Errorf("a server with data of its own: %v", err)
	}
}

// givesWay checks the priority of each thread of a process.
func givesWay(t *testing.T, pid int) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of %d: %q, %v", pid, threads, err)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		_, fields, _ := strings.Cut(string(stat), ") ")
		if nice := strings.Fields(fields)[16]; nice != fmt.Sprint(niceness) { // field 19 of proc(5)
			t.Errorf("%s: its niceness is %s", path, nice)
		}
	}
}

// TestNothingIsLeft looks for remains of scratch servers that cannot start, whose context ends,
// and whose process is killed.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	dir := proxytest.ShortDir(t)
	program := proxytest.Find(t, "").Path
	if _, err := Start(context.Background(), Options{Program: "/bin/false", Dir: dir}, 1); err == nil ||
		!strings.Contains(err.Error(), "ended at once") || len(folders(t, dir)) > 0 {
		t.Errorf("a program that ends: %v, and it left %q", err, folders(t, dir))
	}
	if _, err := Start(context.Background(), Options{Program: "none", Dir: dir}, 1); !errors.Is(err,
		ErrNoProgram) {
		t.Errorf("no program: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Start(ctx, Options{Program: program, Dir: dir}, 1); !errors.Is(err,
		context.Canceled) || len(folders(t, dir)) > 0 {
		t.Errorf("a context that has ended: %v, and it left %q", err, folders(t, dir))
	}
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), beScratch+"="+program)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var left string
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(out), &left, &pid); err != nil {
		t.Fatal(err)
	}
	other, err := Start(context.Background(), Options{Program: program, Dir: dir}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if len(folders(t, dir)) != 2 {
		t.Errorf("the folder of a process that runs was removed: %q", folders(t, dir))
	}
	if runtime.GOOS == "linux" {
		givesWay(t, pid)
		givesWay(t, cmd.Process.Pid)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if runtime.GOOS != "linux" { // see doc.go
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	proxytest.Poll(t, "the server to end with its process", func() bool {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
	proxytest.Poll(t, "the folder to be removed by the next one", func() bool {
		clearFolders(dir)
		_, err := os.Stat(left)
		return errors.Is(err, os.ErrNotExist)
	})
	if err := other.Close(); err != nil || len(folders(t, dir)) > 0 {
		t.Errorf("%v, and left is %q", err, folders(t, dir))
	}
}
