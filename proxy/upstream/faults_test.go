package upstream

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

func TestProtectedModeIsARefusal(t *testing.T) {
	denied := proxytest.Script{
		proxytest.Send("-DENIED Redis is running in protected mode because ...\r\n"),
		proxytest.Close(),
	}
	fake := proxytest.StartRaw(t, denied, denied, denied, denied)
	u := New(testOptions(t, fake.Addr))
	defer u.Stop()
	info, err := u.Probe(t.Context())
	if info.Up || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "protected mode") {
		t.Errorf("got up %v, error %v; want %v", info.Up, err, ErrRefused)
	}
}

func TestAnswersOtherThanInfo(t *testing.T) {
	for name, row := range map[string]struct {
		info  string
		up    bool
		check func(*Info) bool
	}{
		"loading": {
			proxytest.Bulk("redis_version:7.4.0\r\nrun_id:a\r\nloading:1\r\n"), true,
			func(i *Info) bool { return i.Loading && i.Err == nil },
		},
		"loading as an error": {
			"-LOADING Redis is loading the dataset in memory\r\n", true,
			func(i *Info) bool { return i.Loading },
		},
		"primary of a replica is down": {
			"-MASTERDOWN Link with MASTER is down\r\n", true,
			func(i *Info) bool { return i.Err == nil },
		},
		"a number":      {":1\r\n", false, func(i *Info) bool { return i.Err != nil }},
		"an empty text": {"$0\r\n\r\n", true, func(i *Info) bool { return i.VersionNum == 0 }},
		"not RESP": {
			"HTTP/1.1 400 Bad Request\r\n\r\n", false,
			func(i *Info) bool { return i.Err != nil },
		},
		"half a reply": {
			"$100\r\nredis_version:7", false,
			func(i *Info) bool { return timedOut(i.Err) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := proxytest.StartScripted(t)
			fake.Reply("INFO", row.info)
			opts := testOptions(t, fake.Addr)
			if !row.up {
				opts.ConnectTimeout = 100 * time.Millisecond
			}
			u := New(opts)
			defer u.Stop()
			info, err := u.Probe(t.Context())
			if info.Up != row.up || (err == nil) != row.up || !row.check(info) {
				t.Errorf("got up %v, error %v, %+v", info.Up, err, info.substance())
			}
		})
	}
}

func TestCutAnywhereInACheck(t *testing.T) {
	srv := proxytest.StartServer(t)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	for _, dir := range []proxytest.Direction{proxytest.Requests, proxytest.Replies} {
		for after := 0; after < 1<<18; after += 1 + after/3 {
			relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: dir, After: after})
			u := New(testOptions(t, relay.Addr))
			u.greeting = time.Millisecond
			if info, err := u.Probe(t.Context()); info.Up != (err == nil) {
				t.Errorf("cut after %d: got up %v, error %v", after, info.Up, err)
			}
			relay.Clear()
			info, err := u.Probe(t.Context())
			if err != nil || info.CommandReply == nil || info.Databases != 16 ||
				info.Generation != 1 || len(info.Missing) > 0 {
				t.Errorf("cut after %d: then got %v, %+v", after, err, info.substance())
			}
			u.Stop()
		}
	}
}

func TestLostCommandTableIsReadAgain(t *testing.T) {
	srv := proxytest.StartServer(t)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	relay.Arm(proxytest.Fault{
		Op: proxytest.Cut, On: proxytest.Replies, Trigger: "*1\r\n$7\r\ncOmMaNd\r\n", After: 1000,
	})
	u := New(testOptions(t, relay.Addr))
	defer u.Stop()
	if info, err := u.Probe(t.Context()); err != nil || info.CommandReply != nil {
		t.Errorf("got error %v, commands %T; want up without commands", err, info.CommandReply)
	}
	u.Start(t.Context())
	await(t, u, "the command table", func(i *Info) bool { return i.CommandReply != nil })
}

func TestConcurrentUse(t *testing.T) {
	srv := proxytest.StartServer(t)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	u, _ := watch(t, testOptions(t, relay.Addr))
	u.OnChange(func(i *Info) { _ = i.Supported() })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				_, _ = u.Probe(t.Context()) // any outcome will do while the relay misbehaves
				_, _ = u.Do(t.Context(), "PING")
				u.Recheck()
				_ = u.ControlAddrs()
				if conn, err := u.Dial(t.Context()); err == nil {
					conn.Close()
				}
			}
		})
	}
	for range 5 {
		relay.Refuse()
		relay.Accept()
	}
	all.Wait()
	if info := await(t, u, "up", isUp); info.Generation != 1 {
		t.Errorf("got generation %d of one server", info.Generation)
	}
	u.Stop()
	if addrs := u.ControlAddrs(); len(addrs) > 0 {
		t.Errorf("connections left open: %q", addrs)
	}
}
