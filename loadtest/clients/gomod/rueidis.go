package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

func rueidisChecks(s *settings) []check {
	ctx := context.Background()
	open := func(config *tls.Config) (rueidis.Client, error) {
		return rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}, TLSConfig: config,
			AlwaysRESP2: s.proto == 2, DisableCache: true, DisableRetry: true, ForceSingleClient: true})
	}
	c, err := open(s.tls)
	if err != nil {
		return []check{{"connect", func() error { return err }}}
	}
	do := func(args ...string) rueidis.RedisResult { return c.Do(ctx, c.B().Arbitrary(args...).Build()) }
	return []check{
		{"another authority is refused", func() error {
			if _, err := open(s.wrong); err == nil || !strings.Contains(err.Error(), "x509") {
				return fmt.Errorf("got %v", err)
			}
			return nil
		}},
		{"protocol", func() error {
			got, err := do("CLIENT", "INFO").ToString()
			return has(got, err, fmt.Sprintf("resp=%d", s.proto))
		}},
		{"user", func() error { got, err := do("ACL", "WHOAMI").ToString(); return is(got, err, s.user) }},
		{"large value", func() error {
			if err := do("SET", "ru:large", large).Error(); err != nil {
				return err
			}
			got, err := do("GET", "ru:large").ToString()
			return is(got, err, large)
		}},
		{"pipeline", func() error {
			do("DEL", "ru:n")
			cmds := make([]rueidis.Completed, 100)
			for i := range cmds {
				cmds[i] = c.B().Incr().Key("ru:n").Build()
			}
			got, err := c.DoMulti(ctx, cmds...)[99].AsInt64()
			return is(got, err, 100)
		}},
		{"transaction", func() error {
			all := c.DoMulti(ctx, c.B().Multi().Build(), c.B().Set().Key("ru:t").Value("v").Build(),
				c.B().Get().Key("ru:t").Build(), c.B().Exec().Build())
			got, err := all[3].ToArray()
			if err != nil {
				return err
			}
			text, err := got[1].ToString()
			return is(text, err, "v")
		}},
		{"blocking", func() error {
			do("DEL", "ru:list")
			done := make(chan rueidis.RedisResult, 1)
			go func() {
				done <- c.Do(ctx, c.B().Blpop().Key("ru:list").Timeout(patience.Seconds()).Build())
			}()
			if err := until(func() bool {
				list, _ := do("CLIENT", "LIST").ToString()
				return strings.Contains(list, "cmd=blpop")
			}); err != nil {
				return err
			}
			do("RPUSH", "ru:list", "v")
			got, err := (<-done).AsStrSlice()
			return is(got, err, []string{"ru:list", "v"})
		}},
		{"pub/sub", func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			got := make(chan string, 1)
			go func() {
				_ = c.Receive(ctx, c.B().Subscribe().Channel("ru:channel").Build(), func(m rueidis.PubSubMessage) {
					got <- m.Message
				})
			}()
			if err := until(func() bool {
				n, _ := do("PUBLISH", "ru:channel", "hello").AsInt64()
				return n == 1
			}); err != nil {
				return err
			}
			select {
			case text := <-got:
				return is(text, nil, "hello")
			case <-ctx.Done():
				return errors.New("no message")
			}
		}},
	}
}
