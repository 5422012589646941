package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// Where only children may be traced, the proxy of a test says that strace may as well.
func init() {
	if os.Getenv(beProxy) != "" {
		_ = unix.Prctl(unix.PR_SET_PTRACER, unix.PR_SET_PTRACER_ANY, 0, 0, 0) // else it needs no leave
	}
}

// journalNow is what SHOW JOURNAL says.
func (p *process) journalNow() admin.Journal {
	p.t.Helper()
	console := proxytest.NewClient("tcp", p.console, "")
	defer console.Close()
	text, err := console.Do(context.Background(), "SHOW", "JOURNAL", "JSON").Text()
	var j admin.Journal
	if err == nil {
		err = json.Unmarshal([]byte(text), &j)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return j
}

// inject makes a system call of the proxy fail until heal is called.
func (p *process) inject(call, errno string) (heal func()) {
	p.t.Helper()
	cmd := exec.Command(proxytest.Tool(p.t, "strace"), "-f", "-p", strconv.Itoa(p.cmd.Process.Pid),
		"-o", os.DevNull, "-e", "trace="+call, "-e", "inject="+call+":error="+errno)
	var said proxytest.Log
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ended by heal
		_ = cmd.Wait()
		close(ended)
	}()
	done := false
	heal = func() {
		if !done {
			done = true
			_ = cmd.Process.Signal(os.Interrupt)
			<-ended
		}
	}
	p.t.Cleanup(heal)
	proxytest.Poll(p.t, "strace is attached", func() bool {
		select {
		case <-ended:
			p.t.Fatalf("strace: %s", said.String())
		default:
		}
		return strings.Contains(said.String(), "attached")
	})
	return heal
}

// The disk of a real process refuses the journal's calls. Clients do not notice; nothing is called
// durable meanwhile; when the disk works again the journal goes on by itself, and holds everything.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ call, errno, state string }{
		{"fdatasync", "EIO", "failed"},
		{"pwrite64", "EIO", "failed"},
		{"fdatasync", "ENOSPC", "full"},
		{"pwrite64", "ENOSPC", "full"},
	} {
		t.Run(row.call+" "+row.errno, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t, recordedArgs...)
			p := startChecked(t, srv, recordingConfig) // which lets itself be traced
			p.recordedAll(srv)
			fill(t, p, 5)
			proxytest.Poll(t, "the journal has it", func() bool {
				return p.journalNow().Durable >= offsetOf(t, srv)
			})
			heal := p.inject(row.call, row.errno)
			before := offsetOf(t, srv)
			if err := p.do("SET", "during", 1); err != nil {
				t.Errorf("a client notices: %v", err)
			}
			proxytest.Poll(t, "the journal to be "+row.state, func() bool {
				return p.journalNow().State == row.state
			})
			fill(t, p, 5)
			if j := p.journalNow(); j.Durable > before || j.State == "failed" && j.Error == "" {
				t.Errorf("%+v; %d was the end before", j, before)
			}
			heal()
			proxytest.Poll(t, "the journal goes on", func() bool {
				j := p.journalNow()
				return j.State == "ok" && j.Durable >= offsetOf(t, srv)
			})
			if j := p.journalNow(); j.Gaps != 0 || j.Timeline != 1 {
				t.Errorf("%+v", j)
			}
			p.stop()
			mustRun(t, "journal", "verify", "--dir", p.folder())
			dst := proxytest.StartServer(t, recordedArgs...)
			mustRun(t, "restore", "--dir", p.folder(), "--end", "--target", dst.Addr)
			if got, want := dst.MustDo("DEBUG", "DIGEST"), srv.MustDo("DEBUG", "DIGEST"); got != want {
				t.Errorf("digest %v, want %v", got, want)
			}
		})
	}
}
