-- A node that has not been there for a day is gone: whoever signs takes its sign away.
GRANT DELETE ON node_sign TO sluis_hub;
