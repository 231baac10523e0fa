package console

import "testing"

func TestPromptPattern(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Debian GNU/Linux 12 caddy-1 ttyS0\r\n\r\ncaddy-1 login: ":   true,
		"\r\n\x1b[01;32mroot@caddy-1\x1b[00m:\x1b[01;34m~\x1b[00m# ": true,
		"pi@raspberrypi:~$ ":                true,
		"root@caddy-1:~# reboot\r\n":        false,
		"caddy-1 login: root\r\nPassword: ": false,
		"[    1.2] usb 1-1: new device # ":  false,
		"Last login: Mon Jan  1":            false,
		"":                                  false,
	} {
		if got := prompt.MatchString(styling.ReplaceAllString(text, "")); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
