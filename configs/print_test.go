package configs

import (
	"reflect"
	"strings"
	"testing"
)

func TestStringReadsBack(t *testing.T) {
	for name, text := range map[string]string{
		"default":  "",
		"no rules": "rules: []\n",
		"rules": "rules:\n- {name: a, commands: [get, \"config|set\", \"@admin\"], action: deny}\n" +
			"- {name: \"yes: # no\", commands: [\"*\"], except: [set], action: allow}\n",
		"conditions": "rules:\n- {name: a, commands: [del], users: [app*], addresses: [10.0.0.0/8], " +
			"client_names: [web], listeners: [\"127.0.0.1:6380\"], databases: [0, 3], keys: [\"a:*\"], keys_over: 9, arguments: [\"m*\"], " +
			"scripts: opaque, action: deny, limit: {rate: 5/10s, burst: 3, per: user}}\n",
		"budgets": "budgets: [{name: b, keys: 5, window: 1m}]\n",
		"routes": "routes:\n- {name: a, keys: [\"a:*\"], listeners: [\"127.0.0.1:6380\"], scripts: true, " +
			"ack: {replicas: 2, aof: {local: true, replicas: 1}}, on_timeout: close}\n" +
			"- {name: b, databases: [0, 3], users: [app], ack: {replicas: 1}, timeout: 1500ms, " +
			"when_unavailable: pass}\n",
		"unix and off": "listeners: [{address: \"unix:/s p\", mode: 0600, name: \"5\"}]\n" +
			"admin: {address: off, http: off}\n",
		"TLS": "listeners: [{address: \"a:1\", tls: {cert: c, key: k, client_ca: a, client_auth: request}}]\n",
		"users": "listeners: [{address: \"a:1\", tls: {cert: c, key: k, client_ca: a, client_auth: require}, user_from: uri}]\n" +
			"users: [{name: \"spiffe://x/app\", password_file: f}, {name: batch, password_file: g}]\n",
		"users by certificate": "listeners: [{address: \"a:1\", tls: {cert: c, key: k, client_ca: a, client_auth: require}, user_from: cn}]\n" +
			"upstream: {tls: {}}\nusers: [{name: app, cert: c, key: k}]\n",
		"TLS admin":    "admin: {tls: {cert: c, key: k}}\n",
		"balancers":    "listeners: [{address: \"a:1\", proxy_protocol: v1v2, proxy_protocol_from: [10.0.0.0/8, \"::1\"]}]\n",
		"TLS upstream": "upstream: {address: \"a:1\", tls: {}}\n",
		"sentinels":    "upstream: {sentinels: [\"h:1\", \"i:1\"], sentinel_name: m, sentinel_tls: {ca: c}}\n",
		"odd values": "limits: {client_input: 1048577, idle_timeout: 36h1ms}\n" +
			"telemetry: {sample: 0.00000001}\nupstream: {username: \"null\"}\n",
		"samples": readSample(t, "strict.yaml"),
	} {
		c := parsed(t, text)
		if back := parsed(t, c.String()); !reflect.DeepEqual(c, back) {
			t.Errorf("%s: %v\nreads back as\n%v", name, c, back)
		}
	}
}

func TestStringShowsEveryKey(t *testing.T) {
	text := Default().String()
	for _, want := range []string{
		"listeners:\n  - address: 127.0.0.1:6380\n", "client_input: 1GiB", "tcp_keepalive: 1m0s",
		"password: \"\"", "memory: 0\n", "sample: 0.001",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
