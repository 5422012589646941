package upstream

import (
	"math/rand/v2"
	"time"
)

// firstBackoff is the ceiling of the first delay.
const firstBackoff = 10 * time.Millisecond

// Backoff paces attempts to reconnect: the n-th delay is drawn evenly between 0 and 10 ms · 2ⁿ, at
// most Max ("full jitter": the attempts of many proxies spread out by themselves, see
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter). It does not sleep and
// reads no clock. The zero value but for Max is ready; it is not safe for concurrent use.
type Backoff struct {
	// Max bounds each delay. A Max below 10 ms counts as 10 ms.
	Max time.Duration

	// Rand draws from [0, 1); nil is math/rand/v2.
	Rand func() float64

	ceiling time.Duration // of the next delay; 0 before the first
}

// Next returns the delay before the next attempt: more than 0, at most Max.
func (b *Backoff) Next() time.Duration {
	limit := max(b.Max, firstBackoff)
	ceiling := min(max(b.ceiling, firstBackoff), limit)
	b.ceiling = min(limit, 2*ceiling)
	draw := b.Rand
	if draw == nil {
		draw = rand.Float64
	}
	return time.Duration((1 - draw()) * float64(ceiling))
}

// Reset returns to 10 ms. Call it after a success.
func (b *Backoff) Reset() { b.ceiling = 0 }
