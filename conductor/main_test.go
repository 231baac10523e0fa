package conductor_test

import (
	"testing"

	"caddyshack/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
