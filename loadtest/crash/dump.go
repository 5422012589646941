package main

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast/loadtest/crash/history"
)

// scriptDump returns all keys of the route, each with its contents.
const scriptDump = `local all = {}
for db = 0, ARGV[1] - 1 do
redis.call('SELECT', db)
for _, key in ipairs(redis.call('KEYS', 'pay:*')) do
	local t, v = redis.call('TYPE', key).ok, nil
	if t == 'string' then v = {redis.call('GET', key)}
	elseif t == 'list' then v = redis.call('LRANGE', key, 0, -1)
	elseif t == 'set' then v = redis.call('SMEMBERS', key)
	elseif t == 'hash' then v = redis.call('HKEYS', key)
	elseif t == 'zset' then v = redis.call('ZRANGE', key, 0, -1)
	else
		v = {}
		for i, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do v[i] = entry[2][2] end
	end
	all[#all + 1] = {key, v}
end
end
return all`

// databases is the most databases that clients use.
const databases = 4

// dump reads the state of a server. Keys have different names in each of its databases.
func dump(s *server) (*history.State, error) {
	v, err := s.ask("EVAL", scriptDump, "0", strconv.Itoa(databases))
	if err != nil {
		return nil, fmt.Errorf("dump %s: %w", s.name, err)
	}
	state := history.NewState()
	keys, _ := v.([]any)
	for _, k := range keys {
		pair, _ := k.([]any)
		if len(pair) != 2 {
			return nil, fmt.Errorf("dump %s: %v", s.name, k)
		}
		key, _ := pair[0].(string)
		content, _ := pair[1].([]any)
		if err := enter(state, key, content); err != nil {
			return nil, fmt.Errorf("dump %s: %s: %w", s.name, key, err)
		}
	}
	return state, nil
}

func enter(state *history.State, key string, content []any) error {
	for _, c := range content {
		text, ok := c.(string)
		if !ok {
			return fmt.Errorf("%v", c)
		}
		switch history.Family(key) {
		case "n":
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return err
			}
			state.Counters[key] = n
		case "reg":
			state.Registers[key] = text
		default:
			for tag := range strings.SplitSeq(strings.TrimSuffix(text, ";"), ";") {
				state.Add(key, tag)
			}
		}
	}
	return nil
}
