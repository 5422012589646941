package proxy

import (
	"testing"
	"time"
)

// What answers say of the time in which the server answers: a stall counts for a second, however long
// it is and however much was sent meanwhile.
func TestPulse(t *testing.T) {
	t.Parallel()
	const s = int64(time.Second)
	steady := func(p *pulse, from, to int64) {
		for at := from; at < to; at += s / 10 {
			p.saw(at, at+s/10)
		}
	}
	for name, row := range map[string]struct {
		answers func(p *pulse)
		alive   int64
	}{
		"steady":           {func(p *pulse) { steady(p, 10*s, 14*s) }, 49 * s / 10},
		"slow, but steady": {func(p *pulse) { p.saw(10*s, 12*s); p.saw(12*s, 14*s) }, 2 * s},
		"an old request's": {func(p *pulse) { p.saw(10*s, 10*s); p.saw(9*s, 11*s) }, s},
		"a burst after a stall": {func(p *pulse) {
			steady(p, 10*s, 12*s)
			for start := 12 * s; start < 30*s; start += s / 2 {
				p.saw(start, 30*s)
			}
		}, 39 * s / 10},
		"one after the other, after a stall": {func(p *pulse) {
			p.saw(10*s, 10*s)
			for start := 10 * s; start < 20*s; start += s / 2 {
				p.saw(start, 20*s+start/1000)
			}
		}, 2 * s},
	} {
		var p pulse
		row.answers(&p)
		if p.alive != row.alive {
			t.Errorf("%s: alive for %v, want %v", name, time.Duration(p.alive), time.Duration(row.alive))
		}
	}
}

// A server that was busy for seconds answers what came meanwhile in any order: a write that it is about
// to execute, or executes at length, is not broken off because another one was answered before it. One
// that stays silent while the server answers others is.
func TestSlowWriteIsNotBrokenOff(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		slow, other := b.client(), b.client()
		slow.send("GET x")
		slow.expect("$1\r\nx\r\n")
		hold := func(names ...string) {
			b.server.change(func() {
				clear(b.server.held)
				for _, n := range names {
					b.server.held[n] = true
				}
			})
		}

		hold("set", "incr", "pfcount")
		slow.send("SET k v")
		b.sleep(3 * time.Second)
		other.send("INCR n")
		b.sleep(3 * time.Second)
		b.server.answerTo("incr", ":1\r\n")
		other.expect(":1\r\n")
		b.sleep(4 * time.Second)
		slow.expect("")
		b.server.answerTo("set", "+OK\r\n")
		slow.expect("+OK\r\n")
		for range b.server.waiting() {
			b.server.answerTo("pfcount", ":0\r\n")
		}

		hold("set")
		b.server.change(func() { b.server.instead["pfcount"] = ":0\r\n" })
		slow.send("SET k v")
		b.sleep(4 * time.Second)
		slow.expect("")
		b.sleep(4 * time.Second)
		slow.expectError("UPSTREAM", "may have been executed")
	})
}
