"""Tasks to outcomes, in this process or on a cluster; knows no astronomy."""
