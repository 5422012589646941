package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

func goRedis(s *settings) []check {
	ctx := context.Background()
	open := func(config *tls.Config) *redis.Client {
		return redis.NewClient(&redis.Options{Addr: s.addr, Protocol: s.proto, TLSConfig: config, MaxRetries: -1})
	}
	c := open(s.tls)
	return []check{
		{"another authority is refused", func() error {
			if err := open(s.wrong).Ping(ctx).Err(); err == nil || !strings.Contains(err.Error(), "x509") {
				return fmt.Errorf("got %v", err)
			}
			return nil
		}},
		{"protocol", func() error {
			got, err := c.Do(ctx, "CLIENT", "INFO").Text()
			return has(got, err, fmt.Sprintf("resp=%d", s.proto))
		}},
		{"user", func() error { got, err := c.ACLWhoAmI(ctx).Result(); return is(got, err, s.user) }},
		{"large value", func() error {
			if err := c.Set(ctx, "go:large", large, 0).Err(); err != nil {
				return err
			}
			got, err := c.Get(ctx, "go:large").Result()
			return is(got, err, large)
		}},
		{"pipeline", func() error {
			c.Del(ctx, "go:n")
			all, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for range 100 {
					p.Incr(ctx, "go:n")
				}
				return nil
			})
			if err != nil {
				return err
			}
			return is(all[99].(*redis.IntCmd).Val(), nil, 100)
		}},
		{"transaction", func() error {
			all, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Set(ctx, "go:t", "v", 0)
				p.Get(ctx, "go:t")
				return nil
			})
			if err != nil {
				return err
			}
			return is(all[1].(*redis.StringCmd).Val(), nil, "v")
		}},
		{"blocking", func() error {
			c.Del(ctx, "go:list")
			type result struct {
				got []string
				err error
			}
			done := make(chan result, 1)
			go func() {
				got, err := c.BLPop(ctx, patience, "go:list").Result()
				done <- result{got, err}
			}()
			if err := until(func() bool { return strings.Contains(c.ClientList(ctx).Val(), "cmd=blpop") }); err != nil {
				return err
			}
			c.RPush(ctx, "go:list", "v")
			r := <-done
			return is(r.got, r.err, []string{"go:list", "v"})
		}},
		{"pub/sub", func() error {
			sub := c.Subscribe(ctx, "go:channel")
			defer sub.Close()
			if _, err := sub.Receive(ctx); err != nil {
				return err
			}
			if n := c.Publish(ctx, "go:channel", "hello").Val(); n != 1 {
				return errors.New("it has no subscriber")
			}
			m, err := sub.ReceiveMessage(ctx)
			if err != nil {
				return err
			}
			return is(m.Payload, nil, "hello")
		}},
	}
}
