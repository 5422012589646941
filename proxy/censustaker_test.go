package proxy

import (
	"testing"
	"time"
)

// Who asks in one turn of the loop gets the same census.
func TestOneCensusATurn(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		seen := map[*census]int{}
		for range 3 {
			b.onLoop(func() {
				for range 50 {
					b.w.takeCensus(func(c *census) { seen[c]++ })
				}
			})
		}
		b.settle()
		b.onLoop(func() {
			n := 0
			for _, times := range seen {
				n += times
			}
			if len(seen) != 3 || n != 150 {
				t.Errorf("%d censuses for %d requests in three turns", len(seen), n)
			}
		})
	})
}

// Censuses take a part of the loop's time, however many are asked for and whatever they cost, and
// each request is served.
func TestCensusesLeaveTimeForOthers(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		const work, requests = 5 * time.Millisecond, 20
		served := 0
		b.onLoop(func() {
			for range requests {
				b.w.takeCensus(func(*census) {
					time.Sleep(work)
					served++
				})
			}
		})
		began := time.Now()
		c := b.client()
		for time.Since(began) < requests*work*censusShare+time.Second {
			c.send("GET x")
			b.sleep(work + time.Millisecond)
			c.expect("$1\r\nx\r\n")
			b.onLoop(func() {
				if most := int(time.Since(began)/(work*censusShare)) + 1; served > most {
					t.Fatalf("%d served after %v, want at most %d", served, time.Since(began), most)
				}
			})
		}
		b.onLoop(func() {
			if served != requests {
				t.Errorf("%d of %d were served", served, requests)
			}
		})
	})
}
