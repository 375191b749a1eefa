// kinesis-local listens on every interface and knows no setting for it; a drill is for this machine alone.
"use strict";

const { Server } = require("node:net");

const listen = Server.prototype.listen;

Server.prototype.listen = function (where, ...rest) {
  const port = typeof where === "object" ? where.port : where;
  const ready = rest.filter((argument) => typeof argument === "function");
  return listen.call(this, { port, host: "127.0.0.1" }, ...ready);
};
