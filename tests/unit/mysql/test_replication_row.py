"""SHOW REPLICA STATUS of MySQL 8.0.22 and later, for which no server was at hand."""

from __future__ import annotations

from tabletd.mysql.flavor import parse_version
from tabletd.mysql.replication import ThreadState, replication_status_of

_UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
_TODAY = {
    "Replica_IO_State": "Waiting for source to send event",
    "Source_Host": "db1",
    "Source_User": "repl",
    "Source_Port": 3306,
    "Connect_Retry": 60,
    "Source_Log_File": "binlog.000007",
    "Read_Source_Log_Pos": 900,
    "Relay_Log_File": "relay.000002",
    "Relay_Log_Pos": 321,
    "Relay_Source_Log_File": "binlog.000007",
    "Replica_IO_Running": "Yes",
    "Replica_SQL_Running": "Yes",
    "Replicate_Do_DB": "",
    "Replicate_Wild_Ignore_Table": "x.%",
    "Exec_Source_Log_Pos": 800,
    "Source_SSL_Allowed": "Yes",
    "Seconds_Behind_Source": 3,
    "Last_IO_Error": "",
    "Last_SQL_Error": "",
    "Source_Server_Id": 11,
    "Source_UUID": _UUID,
    "SQL_Delay": 0,
    "Retrieved_Gtid_Set": f"{_UUID}:5-9",
    "Executed_Gtid_Set": f"{_UUID}:1-7,\n{_UUID[:-1]}3:1",
    "Auto_Position": 1,
    "Channel_Name": "",
}
_MYSQL_84 = parse_version("8.4.0", "")


def test_todays_names_are_understood() -> None:
    status = replication_status_of(_TODAY, _MYSQL_84)
    assert (status.source_host, status.source_port, status.source_server_id) == ("db1", 3306, 11)
    assert (status.lag_seconds, status.is_running) == (3, True)
    assert status.position == f"MySQL56/{_UUID}:1-7,{_UUID[:-1]}3:1"
    assert status.relay_log_position == f"MySQL56/{_UUID}:1-9,{_UUID[:-1]}3:1"
    assert status.file_position == "FilePos/binlog.000007:800"
    assert status.relay_log_source_position == "FilePos/binlog.000007:900"
    assert status.relay_log_file_position == "FilePos/relay.000002:321"
    assert (status.has_replication_filters, status.ssl_allowed) == (True, True)


def test_a_null_lag_stays_unknown() -> None:
    row = {**_TODAY, "Seconds_Behind_Source": None, "Replica_IO_Running": "Connecting"}
    status = replication_status_of(row, _MYSQL_84)
    assert (status.lag_seconds, status.io_state) == (None, ThreadState.CONNECTING)


def test_without_gtids_the_position_is_that_of_the_file() -> None:
    row = {**_TODAY, "Executed_Gtid_Set": "", "Retrieved_Gtid_Set": "", "Auto_Position": 0}
    status = replication_status_of(row, _MYSQL_84)
    assert status.position == "FilePos/binlog.000007:800"
    assert (status.using_gtid, status.auto_position) == (False, False)
